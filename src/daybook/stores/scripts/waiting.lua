-- Answers {elements in the queue, {source, checkpoint, ...}}: the sources whose checkpoint is not their ledger, or whose
-- reversal is queued, and so have a batch among these elements.
local queue, sources = unpack(KEYS)
local request = cmsgpack.unpack(ARGV[1])

local function of_each(field)
  return request.source_prefix .. '*->' .. field
end

-- One command instead of one for each source; it is only for users who may read every key.
local held = redis.pcall('SORT_RO', sources, 'BY', 'nosort', 'GET', '#', 'GET', of_each('checkpoint'),
  'GET', of_each('ledger'), 'GET', of_each('reverting'))
if held.err then
  held = {}
  for _, id in ipairs(redis.call('SMEMBERS', sources)) do
    local source = redis.call('HMGET', request.source_prefix .. id, 'checkpoint', 'ledger', 'reverting')
    held[#held + 1], held[#held + 2], held[#held + 3], held[#held + 4] = id, unpack(source)
  end
end
local found = {}
for i = 1, #held, 4 do
  local id, checkpoint, ledger, reverting = unpack(held, i, i + 3)
  if checkpoint and (checkpoint ~= ledger or (reverting and string.find(reverting, '"queued":true', 1, true))) then
    found[#found + 1] = id
    found[#found + 1] = checkpoint
  end
end
return {redis.call('LLEN', queue), found}
