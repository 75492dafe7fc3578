-- Makes one commit: applies the oldest elements of the queue to the buckets, once.
-- This is the fence: it checks everything before its first write.
-- It trims the queue first, so that a Redis at its memory limit can still go on. Elements that become contributions
-- are moved: trimming nothing before that lets the script write at the limit all the same.
-- commit: `stores/commit.py:encode`. Offsets and versions are texts: Lua's numbers are exact only below 2^53.
-- Answers {'ok'}, or, with nothing written:
--   {'done'}: this commit is applied already, and its reply was lost;
--   {'lost'}: another owner has the lane, or Redis was set back;
--   {'gap', source}: the source's ledger is not where the commit expects it;
--   {'stale', bucket, ...}: these buckets are not at their expected version, or their totals are no hash
--     of as many methods as expected.
local lane, state, queue, versions, changed, dirty, resident, closed, changed_sources, rejects, restatements,
  contributions = unpack(KEYS)
local token, commit = ARGV[1], cmsgpack.unpack(ARGV[2])
local call = redis.call

local function in_parts(list, use)
  for first = 1, #list, 4000 do
    use(unpack(list, first, math.min(first + 3999, #list)))
  end
end

local held = call('HMGET', lane, 'owner', 'sequence')
local sequence = tonumber(held[2] or 0)
if held[1] ~= token then
  return {'lost'}
end
if sequence == commit.sequence then
  return {'done'}
end
if sequence ~= commit.sequence - 1 or call('LLEN', queue) < commit.trim or call('EXISTS', state) == 0 then
  return {'lost'}
end
for _, move in ipairs(commit.ledgers) do
  if (call('HGET', commit.source_prefix .. move.source, 'ledger') or '0') ~= move.expected then
    return {'gap', move.source}
  end
end
if commit.reversal then
  call('HLEN', commit.source_prefix .. commit.reversal.source) -- raises an error for another type
end
local stale = {'stale'}
local function is_as_expected(bucket)
  if (call('HGET', versions, bucket.name) or '') ~= bucket.expected then
    return false
  end
  if bucket.expected == '' or not bucket.expected_methods then
    return true
  end
  return redis.pcall('HLEN', commit.totals_prefix .. bucket.name) == bucket.expected_methods
end
for _, bucket in ipairs(commit.buckets) do
  if not is_as_expected(bucket) then
    stale[#stale + 1] = bucket.name
  end
end
if #stale > 1 then
  return stale
end

if commit.moves_elements then
  call('LTRIM', queue, 0, -1)
  for _ = 1, commit.trim do
    call('LMOVE', queue, contributions, 'RIGHT', 'RIGHT')
  end
else
  call('LTRIM', queue, 0, -(commit.trim + 1))
end
call('HSET', lane, 'sequence', commit.sequence)
if call('HINCRBY', state, 'queued_bytes', 0 - commit.freed_bytes) < 0 then
  call('HSET', state, 'queued_bytes', 0)
end
for _, move in ipairs(commit.ledgers) do
  local source = commit.source_prefix .. move.source
  local contributed = call('HGET', source, 'contributed') or '0'
  if move.drops_contributions or (commit.keeps_contributions and contributed == move.expected) then
    call('HSET', source, 'contributed', move.offset)
  end
  call('HSET', source, 'ledger', move.offset, 'applied', move.position, 'refused', move.refused)
  if move.moves_checkpoint then
    call('HSET', source, 'id', move.source, 'checkpoint', move.offset, 'read', move.position)
  end
  call('HINCRBY', source, 'revision', 1)
  call('SADD', changed_sources, move.source)
end
local reversal = commit.reversal
if reversal then
  local source = commit.source_prefix .. reversal.source
  if reversal.problem == '' then
    call('HSET', source, 'reverted', reversal.reversal, 'checkpoint', 0, 'read', reversal.beginning,
      'size', 0, 'untouched', '')
  end
  call('HSET', source, 'problem', reversal.problem)
  call('HDEL', source, 'reverting')
  call('HINCRBY', source, 'revision', 1)
  call('SADD', changed_sources, reversal.source)
end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, bucket in ipairs(commit.buckets) do
  local totals = commit.totals_prefix .. bucket.name
  if bucket.expected == '' then
    call('DEL', totals)
    if bucket.closed then
      call('SADD', closed, bucket.name)
    end
  end
  in_parts(bucket.totals, function(...) call('HSET', totals, ...) end)
  in_parts(bucket.gone, function(...) call('HDEL', totals, ...) end)
  call('SET', commit.counts_prefix .. bucket.name, bucket.counts)
  call('HSET', versions, bucket.name, bucket.version)
  call('ZADD', changed, now, bucket.name)
  call('ZADD', resident, 0, bucket.name)
  call('SADD', dirty, bucket.name)
end
in_parts(commit.rejects, function(...) call('RPUSH', rejects, ...) end)
in_parts(commit.restatements, function(...) call('RPUSH', restatements, ...) end)
in_parts(commit.contributions, function(...) call('RPUSH', contributions, ...) end)
call('HINCRBY', state, 'record_bytes', commit.record_bytes)
call('HINCRBY', state, 'contribution_bytes', commit.contribution_bytes)
return {'ok'}
