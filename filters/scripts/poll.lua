-- poll: what a worker has to know about a sale, and the permit log since it last looked.
-- KEYS  meta, permits, log
-- ARGV  incarnation, generation, cursor, max_entries, mark (1: see below)
-- Reply {status, time_us, incarnation, generation, limit, count, suspended, ring, heal_left_ms,
--        log_length, first, entry, entry, ...}; `first` is the index of the first entry: the cursor,
--       or 0 when the incarnation or the generation is not the one that the caller knows.
--
-- mark writes one field, so that a WAIT sent behind this poll counts the replicas which hold all
-- the entries in the reply (WAIT looks at the writes of its own connection only).
local t = redis.call('TIME')
local time_us = t[1] * 1000000 + t[2]
local now = math.floor(time_us / 1000)
local b = redis.call('HMGET', KEYS[1], 'incarnation', 'generation', 'limit', 'override', 'suspended',
  'ring', 'heal_until', 'closed')
if not b[1] then return {2, time_us, 0, 0, 0, 0, 0, 0, 0, 0, 0} end
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'beat', now) end
local left = math.max(0, b[7] - now)
local status = 0
if b[8] then status = 3 elseif left > 0 then status = 1 elseif b[5] == '1' then status = 5 end
local first = 0
if ARGV[1] == b[1] and ARGV[2] == b[2] then first = tonumber(ARGV[3]) end
local reply = {status, time_us, tonumber(b[1]), tonumber(b[2]), tonumber(b[4] or b[3]),
  redis.call('HLEN', KEYS[2]), tonumber(b[5]), tonumber(b[6]), left, redis.call('LLEN', KEYS[3]), first}
local entries = redis.call('LRANGE', KEYS[3], first, first + ARGV[4] - 1)
for i = 1, #entries do reply[#reply + 1] = entries[i] end
return reply
