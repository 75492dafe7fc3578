-- Has the rows of lost batches queued anew. For each source whose rows the queue does not hold in one piece from the
-- ledger to the checkpoint: drops its batches and its later rejects, and sets its checkpoint back to its ledger.
-- All other elements stay where they are. request: `stores/requeue.py:read_again`.
-- Answers {'lost'}, or {'ok', batches dropped, {source, ...}}: the sources whose checkpoint went back.
local lane, state, queue, sources, changed_sources, rejects = unpack(KEYS)
local token, request = ARGV[1], cmsgpack.unpack(ARGV[2])
local call = redis.call

if call('HGET', lane, 'owner') ~= token or call('EXISTS', state) == 0 then
  return {'lost'}
end
local held = {}
for _, id in ipairs(call('SMEMBERS', sources)) do
  local source = call('HMGET', request.source_prefix .. id, 'checkpoint', 'ledger', 'applied')
  if source[1] and source[1] ~= source[2] then
    held[id] = {checkpoint = source[1], ledger = source[2], applied = source[3], reached = source[2], batches = {}}
  end
end
local length, queued_bytes = call('LLEN', queue), 0
for first = 1, length, 64 do
  local elements = call('LRANGE', queue, -math.min(first + 63, length), -first)
  for i = #elements, 1, -1 do
    local element = elements[i]
    if string.sub(element, 1, #request.batch_mark) == request.batch_mark then
      queued_bytes = queued_bytes + #element
      local id, start, offset = string.match(element, '{"source":"([^"]*)","start":(%d+),"end":{"offset":(%d+),')
      local source = id and held[id]
      if source then
        source.batches[#source.batches + 1] = element
        if start == source.reached then
          source.reached = offset
        end
      end
    end
  end
end
local dropped, set_back, last_lines = 0, {}, {}
for id, source in pairs(held) do
  if source.reached ~= source.checkpoint then
    for _, element in ipairs(source.batches) do
      dropped = dropped + call('LREM', queue, -1, element)
      queued_bytes = queued_bytes - #element
    end
    local key = request.source_prefix .. id
    call('HSET', key, 'checkpoint', source.ledger, 'read', source.applied, 'untouched', '')
    call('HINCRBY', key, 'revision', 1)
    call('HINCRBY', key, 'rereads', 1)
    call('SADD', changed_sources, id)
    set_back[#set_back + 1] = id
    last_lines[id] = cjson.decode(source.applied).line or 0
  end
end
call('HSET', state, 'queued_bytes', queued_bytes)
if #set_back > 0 then
  local kept, record_bytes = {}, 0
  for _, reject in ipairs(call('LRANGE', rejects, 0, -1)) do
    local id, line = string.match(reject, '^{"source":"([^"]*)","line":(%d+),')
    if last_lines[id] and tonumber(line) > last_lines[id] then
      record_bytes = record_bytes + #reject
    else
      kept[#kept + 1] = reject
    end
  end
  if record_bytes > 0 then
    call('DEL', rejects)
    for first = 1, #kept, 4000 do
      call('RPUSH', rejects, unpack(kept, first, math.min(first + 3999, #kept)))
    end
    call('HINCRBY', state, 'record_bytes', 0 - record_bytes)
  end
end
return {'ok', dropped, set_back}
