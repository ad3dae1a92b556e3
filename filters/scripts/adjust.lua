-- adjust: what an operator sets by hand: override (of the limit), suspended, closed.
-- KEYS  meta, permits, log
-- ARGV  field, value pairs; an empty value removes the field
-- Reply {status}
if redis.call('EXISTS', KEYS[1]) == 0 then return {2} end
for i = 1, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return {0}
