-- open: opens the books of a sale, or brings what the manifest says about open ones up to date.
-- KEYS  meta, permits, log
-- ARGV  limit, heal_ms, expire_at_ms (0: never), ring, copy_incarnation, copy_generation, copy_seq,
--       override ('' none), suspended (0 or 1), closed ('' or the reason)
-- Reply {status, created, incarnation, generation, heal_left_ms}
--
-- Only the control plane calls it. New books begin by healing: if they are not really the first
-- ones, the edges know, and teach them before anything is sold. The incarnation is the time of
-- opening, so it differs from that of all earlier books, also of those that nobody remembers.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local b = redis.call('HMGET', KEYS[1], 'incarnation', 'generation', 'run', 'heal_until', 'closed',
  'suspended')
local created = 0
if not b[1] then
  created = 1
  local incarnation = math.max(now, ARGV[5] + 1)
  b = {incarnation, math.max(1, tonumber(ARGV[6])), run, now + ARGV[2], false, ARGV[9]}
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'incarnation', b[1], 'generation', b[2], 'run', run, 'heal_until', b[4],
    'seq', ARGV[7], 'opened', now, 'suspended', ARGV[9])
  if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'override', ARGV[8]) end
  if ARGV[10] ~= '' then
    redis.call('HSET', KEYS[1], 'closed', ARGV[10])
    b[5] = ARGV[10]
  end
elseif b[3] ~= run then
  b[4] = now + ARGV[2]
  redis.call('HSET', KEYS[1], 'run', run, 'heal_until', b[4])
end
redis.call('HSET', KEYS[1], 'limit', ARGV[1], 'heal_ms', ARGV[2], 'ring', ARGV[4])
for i = 1, 3 do
  if ARGV[3] == '0' then redis.call('PERSIST', KEYS[i]) else redis.call('PEXPIREAT', KEYS[i], ARGV[3]) end
end
local left = math.max(0, b[4] - now)
local status = 0
if b[5] then status = 3 elseif left > 0 then status = 1 elseif b[6] == '1' then status = 5 end
return {status, created, tonumber(b[1]), tonumber(b[2]), left}
