-- Gives a lease back, so that the next owner need not wait. KEYS: lease. ARGV: token.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
