-- Settles a snapshot: notes that the archive holds it. snapshot: `stores/dumps.py:settle`.
-- It trims the lists first, so that a Redis at its memory limit can still go on.
-- Answers 'ok', or, with nothing written:
--   'done': this snapshot is settled already, and the reply was lost;
--   'lost': another owner has the lane, or Redis is not restored.
local lane, state, versions, dirty, archived, changed_sources, rejects, restatements, contributions = unpack(KEYS)
local token, snapshot = ARGV[1], cmsgpack.unpack(ARGV[2])
local call = redis.call

if call('HGET', lane, 'owner') ~= token or call('EXISTS', state) == 0 then
  return 'lost'
end
if tonumber(call('HGET', state, 'settled') or 0) >= snapshot.number then
  return 'done'
end
call('LTRIM', rejects, snapshot.rejects, -1)
call('LTRIM', restatements, snapshot.restatements, -1)
call('LTRIM', contributions, snapshot.contributions, -1)
for _, bucket in ipairs(snapshot.buckets) do
  call('HSET', archived, bucket.name, bucket.version)
  if call('HGET', versions, bucket.name) == bucket.version then
    call('SREM', dirty, bucket.name)
  end
end
for _, source in ipairs(snapshot.sources) do
  if call('HGET', snapshot.source_prefix .. source.id, 'revision') == source.revision then
    call('SREM', changed_sources, source.id)
  end
end
call('HINCRBY', state, 'record_bytes', 0 - snapshot.record_bytes)
call('HINCRBY', state, 'contributions', snapshot.contributions)
call('HINCRBY', state, 'contribution_bytes', 0 - snapshot.contribution_bytes)
call('HSET', state, 'settled', snapshot.number)
return 'ok'
