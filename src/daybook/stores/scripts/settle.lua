-- Notes that the archive holds a snapshot. KEYS: lane, state, versions, dirty, archived, changed_sources, rejects,
--       restatements.
-- ARGV: token, number, rejects, restatements, their bytes, number of buckets, then name/version pairs, then id/revision pairs;
--       the revisions are kept beside the sources, whose prefix is the last argument.
-- Answers 'ok', 'done' (a lost reply) or 'lost'.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then
  return 'lost'
end
if tonumber(redis.call('HGET', KEYS[2], 'settled') or 0) >= tonumber(ARGV[2]) then
  return 'done'
end
local at, buckets = 7, tonumber(ARGV[6])
for i = 1, buckets do
  local name, version = ARGV[at], ARGV[at + 1]
  redis.call('HSET', KEYS[5], name, version)
  if redis.call('HGET', KEYS[3], name) == version then
    redis.call('SREM', KEYS[4], name)
  end
  at = at + 2
end
while at < #ARGV do
  if redis.call('HGET', ARGV[#ARGV] .. ARGV[at], 'revision') == ARGV[at + 1] then
    redis.call('SREM', KEYS[6], ARGV[at])
  end
  at = at + 2
end
redis.call('LTRIM', KEYS[7], ARGV[3], -1)
redis.call('LTRIM', KEYS[8], ARGV[4], -1)
redis.call('HINCRBY', KEYS[2], 'record_bytes', 0 - tonumber(ARGV[5]))
redis.call('HSET', KEYS[2], 'settled', ARGV[2])
return 'ok'
