-- heal: the edge (or the control plane, from its copy) teaches the books permits that it knows.
-- KEYS  meta, permits, log
-- ARGV  generation, then per permit: number, user
-- Reply {status, added}
--
-- Idempotent, and right at any time: whoever was told "you are in" is in, also when that makes the
-- books show more than the limit. What was known before a deletion (an older generation) is refused;
-- a newer generation than the books' own means that they lost a deletion, and is adopted.
local b = redis.call('HMGET', KEYS[1], 'generation', 'seq')
if not b[1] then return {2, 0} end
local mine, theirs, seq = tonumber(b[1]), tonumber(ARGV[1]), tonumber(b[2])
if theirs < mine then return {4, 0} end
if theirs > mine then redis.call('HSET', KEYS[1], 'generation', theirs) end
local added = 0
for i = 2, #ARGV, 2 do
  local number, user = tonumber(ARGV[i]), ARGV[i + 1]
  if redis.call('HSETNX', KEYS[2], user, number) == 1 then
    redis.call('RPUSH', KEYS[3], 'h:' .. ARGV[i] .. ':' .. user)
    added = added + 1
  end
  if number > seq then seq = number end
end
redis.call('HSET', KEYS[1], 'seq', seq)
return {0, added}
