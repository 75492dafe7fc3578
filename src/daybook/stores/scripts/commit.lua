-- The fence: applies the oldest elements to the buckets, once. Everything is checked before the first write,
-- and the queue is trimmed first, so that a Redis at its memory limit can still go on.
-- KEYS: lane, state, queue, versions, changed, dirty, resident, changed_sources, rejects, restatements, closed,
--       then a key for each source, then the total's and the count's key for each bucket.
-- ARGV: token, sequence, elements to trim, their queued bytes, bytes of rejects and restatements,
--       number of sources, of buckets, of rejects, of restatements;
--       for each source: id, expected ledger, new ledger, position, refused rows, 1 if it has no checkpoint of its own;
--       for each bucket: name, expected version ('' = not resident), new version, number of totals, all counts,
--                        1 if it is closed, then field/value pairs of totals;
--       then the rejects, then the restatements.
-- Answers {'ok'}, {'done'} (a lost reply), {'lost'} (another owner, or Redis went back in time),
--         {'gap', source} or {'stale', bucket, ...} (not at the expected version).
local fixed_keys, argument, per_source, per_bucket = 11, 10, 6, 6
local sources, buckets = tonumber(ARGV[6]), tonumber(ARGV[7])
local rejects, restatements = tonumber(ARGV[8]), tonumber(ARGV[9])
local lane = redis.call('HMGET', KEYS[1], 'owner', 'sequence')
local sequence = tonumber(lane[2] or 0)
if lane[1] ~= ARGV[1] then
  return {'lost'}
end
if sequence == tonumber(ARGV[2]) then
  return {'done'}
end
if sequence ~= tonumber(ARGV[2]) - 1 or redis.call('LLEN', KEYS[3]) < tonumber(ARGV[3])
    or redis.call('EXISTS', KEYS[2]) == 0 then
  return {'lost'}
end
for i = 1, sources do
  local at = argument + (i - 1) * per_source
  if (redis.call('HGET', KEYS[fixed_keys + i], 'ledger') or '0') ~= ARGV[at + 1] then
    return {'gap', ARGV[at]}
  end
end
local bucket_keys = fixed_keys + sources
local first_bucket = argument + sources * per_source
local names, stale, at = {}, {'stale'}, first_bucket
for i = 1, buckets do
  names[i] = ARGV[at]
  at = at + per_bucket + 2 * tonumber(ARGV[at + 3])
end
at = first_bucket
for first = 1, buckets, 4000 do
  local versions = redis.call('HMGET', KEYS[4], unpack(names, first, math.min(first + 3999, buckets)))
  for i, version in ipairs(versions) do
    if (version or '') ~= ARGV[at + 1] then
      stale[#stale + 1] = ARGV[at]
    end
    at = at + per_bucket + 2 * tonumber(ARGV[at + 3])
  end
end
if #stale > 1 then
  return stale
end

redis.call('LTRIM', KEYS[3], 0, -(tonumber(ARGV[3]) + 1))
redis.call('HSET', KEYS[1], 'sequence', ARGV[2])
if redis.call('HINCRBY', KEYS[2], 'queued_bytes', 0 - tonumber(ARGV[4])) < 0 then
  redis.call('HSET', KEYS[2], 'queued_bytes', 0)
end
for i = 1, sources do
  local s = argument + (i - 1) * per_source
  redis.call('HSET', KEYS[fixed_keys + i], 'ledger', ARGV[s + 2], 'applied', ARGV[s + 3], 'refused', ARGV[s + 4])
  if ARGV[s + 5] == '1' then
    redis.call('HSET', KEYS[fixed_keys + i], 'id', ARGV[s], 'checkpoint', ARGV[s + 2], 'read', ARGV[s + 3])
  end
  redis.call('HINCRBY', KEYS[fixed_keys + i], 'revision', 1)
  redis.call('SADD', KEYS[8], ARGV[s])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
at = first_bucket
for i = 1, buckets do
  local total, count = KEYS[bucket_keys + 2 * i - 1], KEYS[bucket_keys + 2 * i]
  local after = at + per_bucket + 2 * tonumber(ARGV[at + 3])
  if ARGV[at + 1] == '' then
    redis.call('DEL', total, count)
    if ARGV[at + 5] == '1' then
      redis.call('SADD', KEYS[11], names[i])
    end
  end
  for first = at + per_bucket, after - 1, 4000 do
    redis.call('HSET', total, unpack(ARGV, first, math.min(first + 3999, after - 1)))
  end
  redis.call('SET', count, ARGV[at + 4])
  at = after
end
local next_bucket = first_bucket
for first = 1, buckets, 1000 do
  local versions, changed, resident = {}, {}, {}
  for i = first, math.min(first + 999, buckets) do
    local n = 2 * (i - first)
    versions[n + 1], versions[n + 2] = names[i], ARGV[next_bucket + 2]
    changed[n + 1], changed[n + 2] = now, names[i]
    resident[n + 1], resident[n + 2] = 0, names[i]
    next_bucket = next_bucket + per_bucket + 2 * tonumber(ARGV[next_bucket + 3])
  end
  redis.call('HSET', KEYS[4], unpack(versions))
  redis.call('ZADD', KEYS[5], unpack(changed))
  redis.call('ZADD', KEYS[7], unpack(resident))
  redis.call('SADD', KEYS[6], unpack(names, first, math.min(first + 999, buckets)))
end
local function append(key, first, number)
  for i = first, first + number - 1, 4000 do
    redis.call('RPUSH', key, unpack(ARGV, i, math.min(i + 3999, first + number - 1)))
  end
end
append(KEYS[9], at, rejects)
append(KEYS[10], at + rejects, restatements)
redis.call('HINCRBY', KEYS[2], 'record_bytes', ARGV[5])
return {'ok'}
