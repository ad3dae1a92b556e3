-- reset: empty books for the same sale.
-- KEYS  meta, permits, log
-- ARGV  none
-- Reply {status, incarnation, generation}
--
-- The generation goes up, so that no edge heals the new books with permits of the old ones.
local t = redis.call('TIME')
local b = redis.call('HMGET', KEYS[1], 'incarnation', 'generation')
if not b[1] then return {2, 0, 0} end
local incarnation = math.max(t[1] * 1000 + math.floor(t[2] / 1000), b[1] + 1)
local generation = b[2] + 1
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'incarnation', incarnation, 'generation', generation, 'seq', 0,
  'heal_until', 0)
redis.call('HDEL', KEYS[1], 'override', 'closed')
return {0, incarnation, generation}
