-- Restores Redis: sets everything back to the archive's last snapshot.
-- All resident buckets are dropped: a bucket becomes resident again when a row needs it.
-- All batches in the queue are dropped: the importer reads their rows again.
-- Elements of other producers stay, except the oldest ones, whose rows the archive's totals already hold.
-- archive: `stores/restore.py:restore`.
-- Answers {'ok', buckets dropped, batches dropped, other elements dropped}, or {'lost'}: another owner has the lane.
local lane, state, queue, versions, archived, dirty, changed, resident, closed, sources, changed_sources, rejects,
  restatements, contributions, evicted = unpack(KEYS)
local token, archive = ARGV[1], cmsgpack.unpack(ARGV[2])
local call = redis.call

local function key_of(source)
  return archive.source_prefix .. source
end

if call('HGET', lane, 'owner') ~= token then
  return {'lost'}
end
call('LLEN', queue) -- raises an error for another type, before the first write
for _, id in ipairs(call('SMEMBERS', sources)) do
  call('HLEN', key_of(id))
end
local names = call('HKEYS', versions)
for _, name in ipairs(names) do
  call('DEL', archive.totals_prefix .. name, archive.counts_prefix .. name)
end
local was_there = call('EXISTS', state) == 1
local queue_key = key_of(archive.queue_source)
local queue_ledger = tonumber(call('HGET', queue_key, 'ledger') or 0)
local sources_version = tonumber(call('HGET', state, 'registry') or 0)
call('DEL', state, versions, archived, dirty, changed, resident, closed, changed_sources, rejects, restatements,
  contributions, evicted)
for _, id in ipairs(call('SMEMBERS', sources)) do
  call('HSET', key_of(id), 'checkpoint', 0, 'ledger', 0, 'read', archive.beginning, 'applied', archive.beginning,
    'refused', '', 'untouched', '', 'contributed', 0, 'sketch', '')
  call('HDEL', key_of(id), 'reverting')
  call('SADD', changed_sources, id)
end
call('DEL', queue_key)
for _, source in ipairs(archive.sources) do
  call('DEL', key_of(source.id))
  call('HSET', key_of(source.id), unpack(source.fields))
  if source.id ~= archive.queue_source then
    call('SADD', sources, source.id)
  end
  call('SREM', changed_sources, source.id)
  sources_version = math.max(sources_version, source.order)
end
for _, id in ipairs(call('SMEMBERS', changed_sources)) do -- the reverted source is at its beginning, too
  local replaced = call('HGET', key_of(id), 'replaces')
  if replaced and replaced ~= '' and (call('HGET', key_of(replaced), 'reverted') or '') ~= '' then
    call('HSET', key_of(id), 'replaces', '')
  end
end
local skip = 0
if was_there then
  skip = math.max(0, tonumber(call('HGET', queue_key, 'ledger') or 0) - queue_ledger)
end
local batches, others = 0, 0
for _ = 1, call('LLEN', queue) do
  local element = call('RPOP', queue)
  if string.sub(element, 1, #archive.batch_mark) == archive.batch_mark then
    batches = batches + 1
  elseif skip > 0 then
    skip, others = skip - 1, others + 1
  else
    call('LPUSH', queue, element)
  end
end
call('HSET', state, 'archive', archive.id, 'snapshot', archive.snapshot, 'settled', archive.snapshot,
  'registry', sources_version + 1, 'queued_bytes', 0, 'record_bytes', 0, 'restored', token,
  'queue', queue, 'contributions', archive.contributions, 'contribution_bytes', 0)
return {'ok', #names, batches, others}
