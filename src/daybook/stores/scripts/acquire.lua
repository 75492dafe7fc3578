-- Acquires a lease; raises its epoch when the owner changes.
-- Answers {1, epoch}, or {0, milliseconds until the present lease expires}.
local lease, holder = unpack(KEYS)
local token, milliseconds, steal = unpack(ARGV)

local present = redis.call('GET', lease)
if present and present ~= token and steal ~= '1' then
  local milliseconds_left = redis.call('PTTL', lease)
  if milliseconds_left == -1 then
    return redis.error_reply('FOREIGN ' .. lease .. ' string without expiry') -- each lease of Daybook expires
  end
  return {0, milliseconds_left}
end
redis.call('SET', lease, token, 'PX', milliseconds)
if redis.call('HGET', holder, 'owner') ~= token then
  redis.call('HSET', holder, 'owner', token)
  redis.call('HINCRBY', holder, 'epoch', 1)
end
return {1, tonumber(redis.call('HGET', holder, 'epoch'))}
