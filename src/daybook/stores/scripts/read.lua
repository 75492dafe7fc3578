-- Full buckets. KEYS: versions. ARGV: total prefix, count prefix, then bucket names.
-- Answers for each name {version, totals, counts} with a flat field/value list and the counts' text, or false if not resident.
local found = {}
for i = 3, #ARGV do
  local version = redis.call('HGET', KEYS[1], ARGV[i])
  if version then
    found[i - 2] = {version, redis.call('HGETALL', ARGV[1] .. ARGV[i]), redis.call('GET', ARGV[2] .. ARGV[i])}
  else
    found[i - 2] = false
  end
end
return found
