-- Deletes buckets that the archive holds at the same version and that nobody changed lately.
-- KEYS: lane, versions, archived, changed, resident, closed.
-- ARGV: token, newest change (Redis' milliseconds) that may go, total prefix, count prefix, then bucket names.
-- Answers how many went, or -1 when the lane is lost.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return -1
end
local gone = 0
for i = 5, #ARGV do
  local name = ARGV[i]
  local version = redis.call('HGET', KEYS[2], name)
  if version and version == redis.call('HGET', KEYS[3], name)
      and tonumber(redis.call('ZSCORE', KEYS[4], name) or 0) <= tonumber(ARGV[2]) then
    redis.call('DEL', ARGV[3] .. name, ARGV[4] .. name)
    redis.call('HDEL', KEYS[2], name)
    redis.call('HDEL', KEYS[3], name)
    redis.call('ZREM', KEYS[4], name)
    redis.call('ZREM', KEYS[5], name)
    redis.call('SREM', KEYS[6], name)
    gone = gone + 1
  end
end
return gone
