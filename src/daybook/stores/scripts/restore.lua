-- Sets everything back to the archive's last snapshot. Buckets are not copied: a bucket becomes resident
-- again when a row needs it. Queued file batches go (the importer reads them again); what other producers
-- pushed stays, but for the oldest elements that the archive's totals already hold.
-- KEYS: lane, state, queue, versions, archived, dirty, changed, resident, sources, changed_sources, rejects,
--       restatements, closed.
-- ARGV: token, archive id, snapshot, first bytes of a batch, id of the queue's source,
--       total prefix, count prefix, source prefix, number of archived sources,
--       an empty position, then for each source: id, number of values, field/value pairs.
-- Answers {'lost'} or {'ok', buckets dropped, batches dropped, other elements dropped}.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return {'lost'}
end
local names = redis.call('HKEYS', KEYS[4])
for _, name in ipairs(names) do
  redis.call('DEL', ARGV[6] .. name, ARGV[7] .. name)
end
local was_there = redis.call('EXISTS', KEYS[2]) == 1
local queue_ledger = tonumber(redis.call('HGET', ARGV[8] .. ARGV[5], 'ledger') or 0)
local registry = tonumber(redis.call('HGET', KEYS[2], 'registry') or 0)
redis.call('DEL', KEYS[2], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[10], KEYS[11],
  KEYS[12], KEYS[13])
for _, id in ipairs(redis.call('SMEMBERS', KEYS[9])) do
  redis.call('HSET', ARGV[8] .. id, 'checkpoint', 0, 'ledger', 0, 'read', ARGV[10], 'applied', ARGV[10],
    'refused', '', 'untouched', '')
  redis.call('SADD', KEYS[10], id)
end
redis.call('DEL', ARGV[8] .. ARGV[5])
local at = 11
for _ = 1, tonumber(ARGV[9]) do
  local id, values = ARGV[at], tonumber(ARGV[at + 1])
  redis.call('DEL', ARGV[8] .. id)
  redis.call('HSET', ARGV[8] .. id, unpack(ARGV, at + 2, at + 1 + values))
  if id ~= ARGV[5] then
    redis.call('SADD', KEYS[9], id)
  end
  redis.call('SREM', KEYS[10], id)
  registry = math.max(registry, tonumber(redis.call('HGET', ARGV[8] .. id, 'order') or 0))
  at = at + 2 + values
end
local skip = 0
if was_there then
  skip = math.max(0, tonumber(redis.call('HGET', ARGV[8] .. ARGV[5], 'ledger') or 0) - queue_ledger)
end
local batches, others = 0, 0
for _ = 1, redis.call('LLEN', KEYS[3]) do
  local element = redis.call('RPOP', KEYS[3])
  if string.sub(element, 1, #ARGV[4]) == ARGV[4] then
    batches = batches + 1
  elseif skip > 0 then
    skip, others = skip - 1, others + 1
  else
    redis.call('LPUSH', KEYS[3], element)
  end
end
redis.call('HSET', KEYS[2], 'archive', ARGV[2], 'snapshot', ARGV[3], 'settled', ARGV[3],
  'registry', registry + 1, 'queued_bytes', 0, 'record_bytes', 0, 'restored', ARGV[1])
return {'ok', #names, batches, others}
