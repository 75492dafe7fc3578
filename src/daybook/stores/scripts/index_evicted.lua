-- Sets the index of evicted buckets, which the lane's owner made from the archive.
-- index: `stores/evicted.py:prepare`.
-- Answers 'ok', or 'lost': another owner has the lane.
local lane, evicted = unpack(KEYS)
local token, index = ARGV[1], cmsgpack.unpack(ARGV[2])

if redis.call('HGET', lane, 'owner') ~= token then
  return 'lost'
end
redis.call('SET', evicted, index.bits)
return 'ok'
