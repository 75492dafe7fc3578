-- Adds a new source to the list of sources. new: `stores/source_registry.py:register`.
-- Answers {'ok'}, or, with nothing written:
--   {'recovering'}: Redis is not restored yet;
--   {'changed'}: the list of sources is not at the version that the caller read.
local state, sources, source, changed_sources = unpack(KEYS)
local new = cmsgpack.unpack(ARGV[1])

if redis.call('EXISTS', state) == 0 then
  return {'recovering'}
end
if redis.call('HGET', state, 'registry') ~= new.sources_version then
  return {'changed'}
end
local order = redis.call('HINCRBY', state, 'registry', 1)
redis.call('HSET', source, 'order', order, 'revision', 1, unpack(new.fields))
redis.call('SADD', sources, new.source)
redis.call('SADD', changed_sources, new.source)
return {'ok'}
