-- forget: takes users off the books, or all of them.
-- KEYS  meta, permits, log
-- ARGV  users; none means everybody
-- Reply {status, removed, generation}
--
-- A new generation tells every worker to drop what it knows and to read the log again, and makes
-- passes of older generations void.
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then return {2, 0, 0} end
local removed = 0
if #ARGV == 0 then
  removed = redis.call('HLEN', KEYS[2])
  redis.call('DEL', KEYS[2], KEYS[3])
else
  for i = 1, #ARGV do
    if redis.call('HDEL', KEYS[2], ARGV[i]) == 1 then
      redis.call('RPUSH', KEYS[3], 'd:0:' .. ARGV[i])
      removed = removed + 1
    end
  end
end
if removed > 0 then generation = redis.call('HINCRBY', KEYS[1], 'generation', 1) end
return {0, removed, tonumber(generation)}
