-- begin: the first thing said about a sale on every connection.
-- KEYS  meta, permits, log
-- ARGV  none
-- Reply {status, time_us, run, incarnation, generation, heal_left_ms}
--
-- Books that were last served by another server process may lack its last moments, so they heal
-- for a while before anybody is admitted again: every edge teaches them the permits it knows.
local t = redis.call('TIME')
local time_us = t[1] * 1000000 + t[2]
local now = math.floor(time_us / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local b = redis.call('HMGET', KEYS[1], 'incarnation', 'generation', 'run', 'heal_until', 'heal_ms',
  'closed', 'suspended')
if not b[1] then return {2, time_us, run, 0, 0, 0} end
local heal_until = tonumber(b[4])
if b[3] ~= run then
  heal_until = now + b[5]
  redis.call('HSET', KEYS[1], 'run', run, 'heal_until', heal_until)
end
local left = math.max(0, heal_until - now)
local status = 0
if b[6] then status = 3 elseif left > 0 then status = 1 elseif b[7] == '1' then status = 5 end
return {status, time_us, run, tonumber(b[1]), tonumber(b[2]), left}
