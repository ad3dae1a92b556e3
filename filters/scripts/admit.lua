-- admit: decides a batch of users of one sale, all of them in one step.
-- KEYS  meta, permits, log
-- ARGV  incarnation, run ('' where a proxy hides the server: looked up here), min_interval_ms,
--       then per user: won (1 or 0, the outcome of the draw), user
-- Reply {status, detail_ms, generation, limit, count, code, value, code, value, ...}
--       codes: 0 sold out, 1 admitted now (number), 2 known (number), 3 blocked by the draw,
--       4 throttled (ms left). No pairs unless status is 0.
--
-- A user who holds a permit gets the same one again, whatever else holds: retries are harmless.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local b = redis.call('HMGET', KEYS[1], 'incarnation', 'run', 'closed', 'heal_until', 'suspended',
  'generation', 'limit', 'override', 'seq', 'heal_ms')
if not b[1] then return {2, 0, 0, 0, 0} end
local generation, limit, seq = tonumber(b[6]), tonumber(b[8] or b[7]), tonumber(b[9])
local run, heal_until = ARGV[2], tonumber(b[4])
if run == '' then
  run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  if run ~= b[2] then
    heal_until = now + b[10]
    redis.call('HSET', KEYS[1], 'run', run, 'heal_until', heal_until)
  end
elseif run ~= b[2] then
  return {4, 0, generation, limit, 0}
end
if ARGV[1] ~= b[1] then return {4, 0, generation, limit, 0} end
local count = redis.call('HLEN', KEYS[2])
if b[3] then return {3, 0, generation, limit, count} end
if heal_until > now then return {1, heal_until - now, generation, limit, count} end
if b[5] == '1' then return {5, 0, generation, limit, count} end

local interval = tonumber(ARGV[3])
local tries = string.gsub(KEYS[1], ':meta$', ':try:')
local reply, first = {0, 0, generation, limit, 0}, seq
for i = 4, #ARGV, 2 do
  local won, user = ARGV[i], ARGV[i + 1]
  local code, value = 0, 0
  local held = redis.call('HGET', KEYS[2], user)
  if held then
    code, value = 2, tonumber(held)
  elseif count < limit then
    local left = 0
    if interval > 0 and not redis.call('SET', tries .. user, '1', 'NX', 'PX', interval) then
      left = math.max(1, redis.call('PTTL', tries .. user))
    end
    if left > 0 then
      code, value = 4, left
    elseif won ~= '1' then
      code = 3
    else
      seq, count = seq + 1, count + 1
      redis.call('HSET', KEYS[2], user, seq)
      redis.call('RPUSH', KEYS[3], 'a:' .. seq .. ':' .. user)
      code, value = 1, seq
    end
  end
  reply[#reply + 1] = code
  reply[#reply + 1] = value
end
if seq ~= first then redis.call('HSET', KEYS[1], 'seq', seq) end
reply[5] = count
return reply
