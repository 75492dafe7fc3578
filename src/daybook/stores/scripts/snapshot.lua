-- Takes a snapshot: copies everything that the archive does not hold yet, consistently, under the next number.
-- Rejects of rows after their source's ledger wait for a later snapshot: after a restore those rows are judged again.
-- request: `stores/dumps.py:snapshot`.
-- Contributions stay where they are: `stores/dumps.py:contributions` reads the counted ones.
-- Answers {'ok', number, bytes of these rejects and restatements, {{name, version, totals, counts}, ...},
--   {fields of a source, ...}, rejects, restatements, {index of the first contribution, their number, their bytes}}, or:
--   {'none'}: the archive holds everything;
--   {'lost'}: another owner has the lane, or Redis was wiped or set back.
-- A key of another type: an error in the place of its content.
local lane, state, versions, dirty, changed_sources, rejects_key, restatements_key, contributions = unpack(KEYS)
local token, request = ARGV[1], cmsgpack.unpack(ARGV[2])
local call = redis.call

if call('HGET', lane, 'owner') ~= token or call('EXISTS', state) == 0 then
  return {'lost'}
end
if request.last_number and tonumber(call('HGET', state, 'snapshot') or 0) ~= request.last_number then
  return {'lost'} -- Redis was set back; recovery restores it before the lane goes on
end
local restatements = call('LRANGE', restatements_key, 0, -1)
local rejects, later, mixed, record_bytes, last_lines = {}, {}, false, 0, {}
for _, reject in ipairs(call('LRANGE', rejects_key, 0, -1)) do
  local id, line = string.match(reject, '^{"source":"([^"]*)","line":(%d+),')
  if not last_lines[id] then
    local applied = call('HGET', request.source_prefix .. id, 'applied')
    last_lines[id] = applied and cjson.decode(applied).line or 0
  end
  if tonumber(line) > last_lines[id] then
    later[#later + 1] = reject
  else
    rejects[#rejects + 1], record_bytes = reject, record_bytes + #reject
    mixed = mixed or #later > 0
  end
end
if mixed then -- settle.lua removes this snapshot's rejects from the list's beginning
  call('DEL', rejects_key)
  for _, some in ipairs({rejects, later}) do
    for first = 1, #some, 4000 do
      call('RPUSH', rejects_key, unpack(some, first, math.min(first + 3999, #some)))
    end
  end
end
for _, restatement in ipairs(restatements) do
  record_bytes = record_bytes + #restatement
end
local names, ids = call('SMEMBERS', dirty), call('SMEMBERS', changed_sources)
local contributed = call('HMGET', state, 'contributions', 'contribution_bytes')
contributed = {tonumber(contributed[1] or 0), call('LLEN', contributions), tonumber(contributed[2] or 0)}
if #names == 0 and #ids == 0 and #rejects == 0 and #restatements == 0 and contributed[2] == 0 then
  return {'none'}
end
local buckets, sources = {}, {}
for i, name in ipairs(names) do
  buckets[i] = {name, call('HGET', versions, name),
    redis.pcall('HGETALL', request.totals_prefix .. name), redis.pcall('GET', request.counts_prefix .. name)}
end
for i, id in ipairs(ids) do
  sources[i] = call('HGETALL', request.source_prefix .. id)
end
call('LTRIM', contributions, 0, -1) -- trims nothing; it lets the script write at the memory limit
local number = call('HINCRBY', state, 'snapshot', 1)
return {'ok', number, record_bytes, buckets, sources, rejects, restatements, contributed}
