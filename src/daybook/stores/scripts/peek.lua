-- Answers the oldest elements, oldest first, and at least one if there is any; none is removed.
-- An element of more than `largest_bytes` is answered as {length, its first `shown_bytes` bytes}.
-- The elements are read in steps, which grow as long as the elements are small.
local queue = KEYS[1]
local most_elements, room, largest_bytes, shown_bytes = unpack(ARGV)
most_elements, room, largest_bytes = tonumber(most_elements), tonumber(room), tonumber(largest_bytes)

local found, step, longest = {}, 1, 1
while #found < most_elements do
  local elements = redis.call('LRANGE', queue, -(#found + step), -(#found + 1))
  for i = #elements, 1, -1 do
    local element = elements[i]
    if #found == most_elements or (#found > 0 and #element > room) then
      return found
    end
    room, longest = room - #element, math.max(longest, #element)
    if #element > largest_bytes then
      element = {#element, string.sub(element, 1, tonumber(shown_bytes))}
    end
    found[#found + 1] = element
  end
  if #elements < step then
    break
  end
  step = math.max(1, math.min(step * 2, 64, math.floor(room / longest)))
end
return found
