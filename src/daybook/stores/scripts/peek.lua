-- The oldest elements, none of them removed. KEYS: queue.
-- ARGV: max elements, max bytes together, max bytes of one element, bytes shown of a larger one.
-- Answers the elements, oldest first, one at least if there is one; {length, beginning} for a larger one.
-- Looks at more elements at once as long as they are small.
local limit, room, largest = tonumber(ARGV[1]), tonumber(ARGV[2]), 1
local found, step = {}, 1
while #found < limit do
  local elements = redis.call('LRANGE', KEYS[1], -(#found + step), -(#found + 1))
  for i = #elements, 1, -1 do
    local element = elements[i]
    if #found == limit or (#found > 0 and #element > room) then
      return found
    end
    room, largest = room - #element, math.max(largest, #element)
    if #element > tonumber(ARGV[3]) then
      element = {#element, string.sub(element, 1, tonumber(ARGV[4]))}
    end
    found[#found + 1] = element
  end
  if #elements < step then
    break
  end
  step = math.max(1, math.min(step * 2, 64, math.floor(room / largest)))
end
return found
