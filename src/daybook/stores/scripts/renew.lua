-- Extends a lease. Answers 1, or 0 when another owner took over.
local lease, holder = unpack(KEYS)
local token, milliseconds = unpack(ARGV)

if redis.call('HGET', holder, 'owner') ~= token then
  return 0
end
local present = redis.call('GET', lease)
if present and present ~= token then
  return 0
end
redis.call('SET', lease, token, 'PX', milliseconds)
return 1
