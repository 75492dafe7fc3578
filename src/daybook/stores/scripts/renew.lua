-- Extends a lease. KEYS: lease, holder. ARGV: token, ttl_ms. Answers 1, or 0 when another owner took over.
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[1] then
  return 0
end
local present = redis.call('GET', KEYS[1])
if present and present ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
