-- Drops all queued batches and sets every checkpoint back to its ledger, so that importers queue those rows anew.
-- Elements of other producers stay; those that wait under the queue's former name move to the present one.
-- Answers {'lost'} or {'ok', batches dropped, elements moved, {source, ...}}: the sources whose checkpoint went back.
local lane, state, queue, former_queue, sources, changed_sources, rejects = unpack(KEYS)
local token, request = ARGV[1], cmsgpack.unpack(ARGV[2])
local call = redis.call

if call('HGET', lane, 'owner') ~= token or call('EXISTS', state) == 0 then
  return {'lost'}
end
local batches, moved = 0, 0
local function is_batch(element)
  return string.sub(element, 1, #request.batch_mark) == request.batch_mark
end
for _ = 1, call('LLEN', queue) do
  local element = call('RPOP', queue)
  if is_batch(element) then
    batches = batches + 1
  else
    call('LPUSH', queue, element)
  end
end
if former_queue ~= queue then
  for _ = 1, call('LLEN', former_queue) do
    local element = call('RPOP', former_queue)
    if is_batch(element) then
      batches = batches + 1
    else
      call('LPUSH', queue, element)
      moved = moved + 1
    end
  end
end
local set_back, last_lines = {}, {}
for _, id in ipairs(call('SMEMBERS', sources)) do
  local source = request.source_prefix .. id
  local held = call('HMGET', source, 'checkpoint', 'ledger', 'applied')
  if held[1] and held[1] ~= held[2] then
    call('HSET', source, 'checkpoint', held[2], 'read', held[3], 'untouched', '')
    call('HINCRBY', source, 'revision', 1)
    call('HINCRBY', source, 'rereads', 1)
    call('SADD', changed_sources, id)
    set_back[#set_back + 1] = id
    last_lines[id] = cjson.decode(held[3]).line or 0
  end
end
local kept, dropped_bytes = {}, 0
for _, reject in ipairs(call('LRANGE', rejects, 0, -1)) do
  local id, line = string.match(reject, '^{"source":"([^"]*)","line":(%d+),')
  if last_lines[id] and tonumber(line) > last_lines[id] then
    dropped_bytes = dropped_bytes + #reject
  else
    kept[#kept + 1] = reject
  end
end
if dropped_bytes > 0 then
  call('DEL', rejects)
  for first = 1, #kept, 4000 do
    call('RPUSH', rejects, unpack(kept, first, math.min(first + 3999, #kept)))
  end
  call('HINCRBY', state, 'record_bytes', 0 - dropped_bytes)
end
call('HSET', state, 'queue', queue, 'queued_bytes', 0)
return {'ok', batches, moved, set_back}
