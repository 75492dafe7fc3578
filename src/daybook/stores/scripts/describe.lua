-- Updates what is known of a source beside its positions. KEYS: state, source, changed_sources.
-- ARGV: id, 1 if its path changes, then field/value pairs. Answers 1, or 0 when the source is not known.
if redis.call('EXISTS', KEYS[1], KEYS[2]) ~= 2 then
  return 0
end
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
redis.call('HINCRBY', KEYS[2], 'revision', 1)
redis.call('HINCRBY', KEYS[1], 'registry', ARGV[2])
redis.call('SADD', KEYS[3], ARGV[1])
return 1
