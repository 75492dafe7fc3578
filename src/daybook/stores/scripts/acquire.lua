-- Takes a lease and raises its epoch. KEYS: lease, holder. ARGV: token, ttl_ms, steal (0 or 1).
-- Answers {1, epoch}, or {0, milliseconds until the present lease expires}.
local present = redis.call('GET', KEYS[1])
if present and present ~= ARGV[1] and ARGV[3] ~= '1' then
  return {0, redis.call('PTTL', KEYS[1])}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[1] then
  redis.call('HSET', KEYS[2], 'owner', ARGV[1])
  redis.call('HINCRBY', KEYS[2], 'epoch', 1)
end
return {1, tonumber(redis.call('HGET', KEYS[2], 'epoch'))}
