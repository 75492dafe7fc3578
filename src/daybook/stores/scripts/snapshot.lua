-- A consistent copy of everything that the archive does not hold yet, under the next number.
-- KEYS: lane, state, versions, dirty, changed_sources, rejects, restatements.
-- ARGV: token, total prefix, count prefix, source prefix.
-- Answers {'lost'}, {'none'}, or {'ok', number, bytes of rejects and restatements,
-- {{name, version, totals, counts}, ...}, {fields of a source, ...}, rejects, restatements}.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then
  return {'lost'}
end
local rejects, restatements = redis.call('LRANGE', KEYS[6], 0, -1), redis.call('LRANGE', KEYS[7], 0, -1)
local names = redis.call('SMEMBERS', KEYS[4])
local ids = redis.call('SMEMBERS', KEYS[5])
if #names == 0 and #ids == 0 and #rejects == 0 and #restatements == 0 then
  return {'none'}
end
local buckets, sources = {}, {}
for i, name in ipairs(names) do
  buckets[i] = {name, redis.call('HGET', KEYS[3], name),
    redis.call('HGETALL', ARGV[2] .. name), redis.call('GET', ARGV[3] .. name)}
end
for i, id in ipairs(ids) do
  sources[i] = redis.call('HGETALL', ARGV[4] .. id)
end
local number = redis.call('HINCRBY', KEYS[2], 'snapshot', 1)
local record_bytes = tonumber(redis.call('HGET', KEYS[2], 'record_bytes') or 0)
return {'ok', number, record_bytes, buckets, sources, rejects, restatements}
