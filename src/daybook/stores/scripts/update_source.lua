-- Sets fields of a source other than its positions, and releases its lease when its token is given.
-- Takes the mark of a reversal off when it is as given. update: `stores/source_registry.py:update`.
-- Answers 1, or 0 when the source is not known or Redis is not restored yet.
local state, source, changed_sources, source_changes, lease = unpack(KEYS)
local update = cmsgpack.unpack(ARGV[1])

if update.token and redis.call('GET', lease) == update.token then
  redis.call('DEL', lease)
end
if redis.call('EXISTS', state, source) ~= 2 then
  return 0
end
if #update.fields > 0 then
  redis.call('HSET', source, unpack(update.fields))
end
if update.unmark and redis.call('HGET', source, 'reverting') == update.unmark then
  redis.call('HDEL', source, 'reverting')
end
redis.call('HINCRBY', source, 'revision', 1)
if update.moved then
  redis.call('ZADD', source_changes, redis.call('HINCRBY', state, 'registry', 1), update.source)
end
redis.call('SADD', changed_sources, update.source)
return 1
