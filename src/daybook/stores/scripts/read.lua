-- Full buckets. KEYS: versions, changed, closed. ARGV: total prefix, count prefix, then bucket names.
-- Answers for each name {milliseconds of its last change, 1 if it is closed, version, totals, counts} with a flat
-- field/value list and the counts' text, or false if not resident.
local found = {}
for i = 3, #ARGV do
  local version = redis.call('HGET', KEYS[1], ARGV[i])
  if version then
    found[i - 2] = {redis.call('ZSCORE', KEYS[2], ARGV[i]) or '0', redis.call('SISMEMBER', KEYS[3], ARGV[i]), version,
      redis.call('HGETALL', ARGV[1] .. ARGV[i]), redis.call('GET', ARGV[2] .. ARGV[i])}
  else
    found[i - 2] = false
  end
end
return found
