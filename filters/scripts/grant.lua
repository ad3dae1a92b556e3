-- grant: lets users in by hand, past the draw and, if need be, above the limit.
-- KEYS  meta, permits, log
-- ARGV  users
-- Reply {status, number, number, ...}; who is in already keeps the number
local seq = redis.call('HGET', KEYS[1], 'seq')
if not seq then return {2} end
local reply = {0}
for i = 1, #ARGV do
  local number = redis.call('HGET', KEYS[2], ARGV[i])
  if not number then
    seq = seq + 1
    number = seq
    redis.call('HSET', KEYS[2], ARGV[i], number)
    redis.call('RPUSH', KEYS[3], 'g:' .. number .. ':' .. ARGV[i])
  end
  reply[#reply + 1] = tonumber(number)
end
redis.call('HSET', KEYS[1], 'seq', seq)
return reply
