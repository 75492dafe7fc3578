-- The oldest elements, none of them removed. KEYS: queue.
-- ARGV: max elements, max bytes together, max bytes of one element, bytes shown of a larger one.
-- Answers the elements, oldest first, one at least if there is one; {length, beginning} for a larger one.
local limit, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}
while #found < limit do
  local element = redis.call('LINDEX', KEYS[1], -(#found + 1))
  if not element or (#found > 0 and #element > room) then
    break
  end
  room = room - #element
  if #element > tonumber(ARGV[3]) then
    element = {#element, string.sub(element, 1, tonumber(ARGV[4]))}
  end
  found[#found + 1] = element
end
return found
