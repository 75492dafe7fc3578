-- Answers {elements in the queue, {source, checkpoint, ...}}: the sources whose checkpoint is not their ledger, or whose
-- reversal is queued, and so have a batch among these elements.
local queue, sources = unpack(KEYS)
local request = cmsgpack.unpack(ARGV[1])

local found = {}
for _, id in ipairs(redis.call('SMEMBERS', sources)) do
  local held = redis.call('HMGET', request.source_prefix .. id, 'checkpoint', 'ledger', 'reverting')
  if held[1] and (held[1] ~= held[2] or (held[3] and string.find(held[3], '"queued":true', 1, true))) then
    found[#found + 1] = id
    found[#found + 1] = held[1]
  end
end
return {redis.call('LLEN', queue), found}
