-- Changes what a source is held for, if nobody has changed that since the caller read it.
-- change: `stores/held_sources.py:change_held`.
-- Answers 'ok' (also when it is so already: the reply was lost), or, with nothing written:
--   'recovering': Redis is not restored yet;
--   'unknown': the source is not known;
--   'changed': it is held for something else, or no longer.
local state, source, changed_sources = unpack(KEYS)
local change = cmsgpack.unpack(ARGV[1])

if redis.call('EXISTS', state) == 0 then
  return 'recovering'
end
if redis.call('EXISTS', source) == 0 then
  return 'unknown'
end
local held = redis.call('HGET', source, 'held') or ''
if held == change.held then
  return 'ok'
end
if held ~= change.expected then
  return 'changed'
end
redis.call('HSET', source, unpack(change.fields))
redis.call('HINCRBY', source, 'revision', 1)
redis.call('SADD', changed_sources, change.source)
return 'ok'
