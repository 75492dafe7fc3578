-- Queues a batch and advances its source's checkpoint, together. A second try is harmless: the checkpoint
-- has moved by then. KEYS: state, queue, source, changed_sources, rejects.
-- ARGV: id, expected checkpoint, new checkpoint, new position, element, max elements, max queued bytes,
--       max reject bytes, bytes of these rejects, then the rejects.
-- Answers {'ok'}, {'recovering'}, {'unknown'}, {'moved', checkpoint}, {'full'} or {'rejects full'}.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'recovering'}
end
local checkpoint = redis.call('HGET', KEYS[3], 'checkpoint')
if not checkpoint then
  return {'unknown'}
end
if checkpoint ~= ARGV[2] then
  return {'moved', checkpoint}
end
local held = redis.call('HMGET', KEYS[1], 'queued_bytes', 'record_bytes')
local queued, recorded = tonumber(held[1] or 0), tonumber(held[2] or 0)
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[6])
    or (queued > 0 and queued + #ARGV[5] > tonumber(ARGV[7])) then
  return {'full'}
end
local reject_bytes = tonumber(ARGV[9])
if reject_bytes > 0 and recorded > 0 and recorded + reject_bytes > tonumber(ARGV[8]) then
  return {'rejects full'}
end
redis.call('LPUSH', KEYS[2], ARGV[5])
redis.call('HSET', KEYS[3], 'checkpoint', ARGV[3], 'read', ARGV[4])
redis.call('HINCRBY', KEYS[3], 'revision', 1)
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'queued_bytes', #ARGV[5])
if #ARGV > 9 then
  redis.call('RPUSH', KEYS[5], unpack(ARGV, 10))
  redis.call('HINCRBY', KEYS[1], 'record_bytes', reject_bytes)
end
return {'ok'}
