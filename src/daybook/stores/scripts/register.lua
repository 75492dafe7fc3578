-- Adds a new source to the list of sources, with its lease in the hand of the caller. new: `stores/source_registry.py:register`.
-- Answers {'ok'}, or, with nothing written:
--   {'recovering'}: Redis is not restored yet;
--   {'changed'}: the list of sources is not at the version that the caller read.
local state, sources, source, changed_sources, source_changes, lease, holder = unpack(KEYS)
local new = cmsgpack.unpack(ARGV[1])

if redis.call('EXISTS', state) == 0 then
  return {'recovering'}
end
local held = redis.call('HMGET', state, 'registry', 'restored')
local newest = redis.call('ZRANGE', source_changes, -1, -1)[1]
if held[1] ~= new.version or (held[2] or '') ~= new.restored or (newest or '') ~= new.newest then
  return {'changed'}
end
local order = redis.call('HINCRBY', state, 'registry', 1)
redis.call('HSET', source, 'order', order, 'revision', 1, unpack(new.fields))
redis.call('SADD', sources, new.source)
redis.call('ZADD', source_changes, order, new.source)
redis.call('SADD', changed_sources, new.source)
redis.call('SET', lease, new.token, 'PX', new.milliseconds)
redis.call('HSET', holder, 'owner', new.token, 'epoch', 1)
return {'ok'}
