-- Has the rows of lost batches queued anew. For each source whose rows the queue does not hold in one piece from the
-- ledger to the checkpoint: drops its batches and sets its checkpoint to its ledger. Its rejects stay, because a lost
-- batch may come back. A source whose queued reversal is gone is no longer being reverted. All other elements stay where
-- they are. request: `stores/requeue.py:read_again`.
-- Answers {'lost'}, or {'ok', batches dropped, {source, ...}}: the sources whose checkpoint went back.
local lane, state, queue, sources, changed_sources = unpack(KEYS)
local token, request = ARGV[1], cmsgpack.unpack(ARGV[2])
local call = redis.call

if call('HGET', lane, 'owner') ~= token or call('EXISTS', state) == 0 then
  return {'lost'}
end
local held, reversals = {}, {}
for _, id in ipairs(call('SMEMBERS', sources)) do
  local source = call('HMGET', request.source_prefix .. id, 'checkpoint', 'ledger', 'applied', 'reverting')
  if source[4] and string.find(source[4], '"queued":true', 1, true) then
    reversals[id] = false
  end
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
      local reverted = string.match(element, '"end":{[^}]*},"reverses":{"source":"([^"]*)"')
      if reverted and reversals[reverted] ~= nil then
        reversals[reverted] = id
      end
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
local dropped, set_back = 0, {}
for id, source in pairs(held) do
  if source.reached ~= source.checkpoint then
    for _, element in ipairs(source.batches) do
      dropped = dropped + call('LREM', queue, -1, element)
      queued_bytes = queued_bytes - #element
    end
    local key = request.source_prefix .. id
    call('HSET', key, 'checkpoint', source.ledger, 'read', source.applied, 'untouched', '')
    if source.ledger == '0' then
      call('HDEL', key, 'sketch')
    end
    call('HINCRBY', key, 'revision', 1)
    call('HINCRBY', key, 'rereads', 1)
    call('SADD', changed_sources, id)
    set_back[#set_back + 1] = id
    for reverted, by in pairs(reversals) do
      reversals[reverted] = by ~= id and by
    end
  end
end
for id, by in pairs(reversals) do
  if not by then
    local key = request.source_prefix .. id
    call('HDEL', key, 'reverting')
    call('HSET', key, 'problem', request.lost_reversal)
    call('HINCRBY', key, 'revision', 1)
    call('SADD', changed_sources, id)
    set_back[#set_back + 1] = id
  end
end
call('HSET', state, 'queued_bytes', queued_bytes)
return {'ok', dropped, set_back}
