-- Gives a lease back, so that the next owner need not wait. Answers 1, or 0 when another owner has the lease.
local lease, token = KEYS[1], ARGV[1]

if redis.call('GET', lease) == token then
  return redis.call('DEL', lease)
end
return 0
