-- Answers the wanted buckets in full, one item for each name. The item is false if the bucket is not resident, else
-- {milliseconds of its last change, 1 if it is closed, version, totals as a flat field/value list, counts as JSON}.
-- wanted: `stores/hot_buckets.py:read`.
local versions, changed, closed = unpack(KEYS)
local wanted = cmsgpack.unpack(ARGV[1])

local found = {}
for i, name in ipairs(wanted.buckets) do
  local version = redis.call('HGET', versions, name)
  found[i] = version and {
    redis.call('ZSCORE', changed, name) or '0', redis.call('SISMEMBER', closed, name), version,
    redis.call('HGETALL', wanted.totals_prefix .. name), redis.call('GET', wanted.counts_prefix .. name)
  }
end
return found
