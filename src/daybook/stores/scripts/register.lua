-- Makes a new source known. KEYS: state, sources, source, changed_sources.
-- ARGV: id, expected registry version, then field/value pairs.
-- Answers {'ok'}, {'recovering'}, or {'changed'} when other sources became known since the caller looked.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'recovering'}
end
if redis.call('HGET', KEYS[1], 'registry') ~= ARGV[2] then
  return {'changed'}
end
local order = redis.call('HINCRBY', KEYS[1], 'registry', 1)
redis.call('HSET', KEYS[3], 'order', order, 'revision', 1, unpack(ARGV, 3))
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[4], ARGV[1])
return {'ok'}
