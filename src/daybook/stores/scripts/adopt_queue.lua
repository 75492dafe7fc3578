-- Makes a queue the lane's own: moves the elements that wait under its former name, oldest first, and notes the name.
-- Answers the number of elements moved, or -1 when the lane is lost.
local lane, state, queue, former_queue = unpack(KEYS)
local token = ARGV[1]
local call = redis.call

if call('HGET', lane, 'owner') ~= token or call('EXISTS', state) == 0 then
  return -1
end
local moved = 0
if former_queue ~= queue then
  moved = call('LLEN', former_queue)
  if call('EXISTS', queue) == 0 and moved > 0 then
    call('RENAME', former_queue, queue)
  else
    for _ = 1, moved do
      call('LMOVE', former_queue, queue, 'RIGHT', 'LEFT')
    end
  end
end
call('HSET', state, 'queue', queue)
return moved
