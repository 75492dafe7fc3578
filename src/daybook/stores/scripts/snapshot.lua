-- A consistent copy of everything that the archive does not hold yet, under the next number. Rejects of rows behind
-- their source's ledger stay for a later one: after a restore those rows are judged again.
-- KEYS: lane, state, versions, dirty, changed_sources, rejects, restatements.
-- ARGV: token, total prefix, count prefix, source prefix, number of the last snapshot ('' = not known).
-- Answers {'lost'}, {'none'}, or {'ok', number, bytes of these rejects and restatements,
-- {{name, version, totals, counts}, ...}, {fields of a source, ...}, rejects, restatements}.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then
  return {'lost'}
end
if ARGV[5] ~= '' and tonumber(redis.call('HGET', KEYS[2], 'snapshot') or 0) ~= tonumber(ARGV[5]) then
  return {'lost'} -- Redis was set back: whoever takes the lane restores it
end
local restatements = redis.call('LRANGE', KEYS[7], 0, -1)
local rejects, left, mixed, record_bytes, last_lines = {}, {}, false, 0, {}
for _, reject in ipairs(redis.call('LRANGE', KEYS[6], 0, -1)) do
  local id, line = string.match(reject, '^{"source":"([^"]*)","line":(%d+),')
  if not last_lines[id] then
    local applied = redis.call('HGET', ARGV[4] .. id, 'applied')
    last_lines[id] = applied and cjson.decode(applied).line or 0
  end
  if tonumber(line) > last_lines[id] then
    left[#left + 1] = reject
  else
    rejects[#rejects + 1], record_bytes = reject, record_bytes + #reject
    mixed = mixed or #left > 0
  end
end
if mixed then -- settle takes its rejects from the list's beginning
  redis.call('DEL', KEYS[6])
  for _, some in ipairs({rejects, left}) do
    for first = 1, #some, 4000 do
      redis.call('RPUSH', KEYS[6], unpack(some, first, math.min(first + 3999, #some)))
    end
  end
end
for _, restatement in ipairs(restatements) do
  record_bytes = record_bytes + #restatement
end
local names = redis.call('SMEMBERS', KEYS[4])
local ids = redis.call('SMEMBERS', KEYS[5])
if #names == 0 and #ids == 0 and #rejects == 0 and #restatements == 0 then
  return {'none'}
end
local buckets, sources = {}, {}
for i, name in ipairs(names) do
  buckets[i] = {name, redis.call('HGET', KEYS[3], name),
    redis.call('HGETALL', ARGV[2] .. name), redis.call('GET', ARGV[3] .. name)}
end
for i, id in ipairs(ids) do
  sources[i] = redis.call('HGETALL', ARGV[4] .. id)
end
local number = redis.call('HINCRBY', KEYS[2], 'snapshot', 1)
return {'ok', number, record_bytes, buckets, sources, rejects, restatements}
