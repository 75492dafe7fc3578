-- Evicts the buckets that the archive holds at the same version and that have not changed lately.
-- eviction: `stores/dumps.py:evict`.
-- Answers the number of evicted buckets, or -1 when another owner has the lane.
local lane, versions, archived, changed, resident, closed, evicted = unpack(KEYS)
local token, eviction = ARGV[1], cmsgpack.unpack(ARGV[2])
local call = redis.call

if call('HGET', lane, 'owner') ~= token then
  return -1
end
local gone, is_indexed = 0, call('EXISTS', evicted) == 1
for i, name in ipairs(eviction.buckets) do
  local version = call('HGET', versions, name)
  if version and version == call('HGET', archived, name)
      and tonumber(call('ZSCORE', changed, name) or 0) <= eviction.unchanged_since_ms then
    call('DEL', eviction.totals_prefix .. name, eviction.counts_prefix .. name)
    call('HDEL', versions, name)
    call('HDEL', archived, name)
    call('ZREM', changed, name)
    call('ZREM', resident, name)
    call('SREM', closed, name)
    if is_indexed then
      call('SETBIT', evicted, eviction.places[i], 1)
    end
    gone = gone + 1
  end
end
return gone
