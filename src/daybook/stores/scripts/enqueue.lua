-- Pushes a batch, stores its rejects, and advances its source's checkpoint, in one step.
-- A second try does no harm: the checkpoint has moved by then.
-- batch: `stores/transaction_queue.py:enqueue`.
-- Answers {'ok'}, or, with nothing written:
--   {'recovering'}: Redis is not restored yet;
--   {'other queue', key}: the lane works on another queue;
--   {'unknown'}: the source is not known, or it is being reverted;
--   {'moved', checkpoint}: the checkpoint is not where the batch starts;
--   {'full'} or {'rejects full'}: the batch, or its rejects, must wait for room.
local state, queue, source, changed_sources, rejects, reverted_source = unpack(KEYS)
local batch, element = cmsgpack.unpack(ARGV[1]), ARGV[2]

if redis.call('EXISTS', state) == 0 then
  return {'recovering'}
end
local lanes_queue = redis.call('HGET', state, 'queue')
if lanes_queue and lanes_queue ~= queue then
  return {'other queue', lanes_queue}
end
local reversal = batch.reversal
local checkpoint, reverting = unpack(redis.call('HMGET', source, 'checkpoint', 'reverting'))
if not checkpoint or ((reverting or '') ~= '' and not reversal) then
  return {'unknown'}
end
if checkpoint ~= batch.expected then
  return {'moved', checkpoint}
end
if reversal then
  local at, mark = unpack(redis.call('HMGET', reverted_source, 'checkpoint', 'reverting'))
  if at ~= reversal.expected or mark ~= reversal.mark then
    return {'moved', at or ''}
  end
end
local held = redis.call('HMGET', state, 'queued_bytes', 'record_bytes')
local queued, recorded = tonumber(held[1] or 0), tonumber(held[2] or 0)
if redis.call('LLEN', queue) >= batch.max_elements or (queued > 0 and queued + #element > batch.max_queued_bytes) then
  return {'full'}
end
if batch.reject_bytes > 0 and recorded > 0 and recorded + batch.reject_bytes > batch.max_reject_bytes then
  return {'rejects full'}
end
redis.call('LPUSH', queue, element)
redis.call('HSET', source, 'checkpoint', batch.checkpoint, 'read', batch.position)
if batch.sketch then
  redis.call('HSET', source, 'sketch', batch.sketch)
end
redis.call('HINCRBY', source, 'revision', 1)
redis.call('SADD', changed_sources, batch.source)
redis.call('HINCRBY', state, 'queued_bytes', #element)
if reversal then
  redis.call('HSET', reverted_source, 'reverting', reversal.queued)
  redis.call('HINCRBY', reverted_source, 'revision', 1)
  redis.call('SADD', changed_sources, reversal.source)
end
if #batch.rejects > 0 then
  for first = 1, #batch.rejects, 4000 do
    redis.call('RPUSH', rejects, unpack(batch.rejects, first, math.min(first + 3999, #batch.rejects)))
  end
  redis.call('HINCRBY', state, 'record_bytes', batch.reject_bytes)
end
return {'ok'}
