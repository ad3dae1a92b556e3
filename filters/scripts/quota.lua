-- quota: charges requests to their counters, and settles what was reserved for them.
-- KEYS  the counters that this run touches, each once
-- ARGV  S, then S specs of 6: kind, amount, span, burst, ttl_ms, mode
--       C, then C costs: n, and n meters of 3: spec, charge, hold
--       then items: c, and for each meter of cost c its key                     (take)
--                   0, n, and n meters of 5: spec, key, slot, held, charge      (settle)
--       kind: f fixed window, s sliding window, b token bucket, c calendar. span: a window's length
--       in ms; for c the borders of windows, ascending, joined by ','. burst: a bucket's capacity.
--       ttl_ms: the life of a reservation. mode: e enforces, w watches. spec, key, c: places from 1.
-- Reply {now_us, then for each item
--       take: 1 (all meters let it through), 2 (only such as watch do not) or 0 (refused), and for
--       each meter: remaining, reset_ms, unless 1: wait_ms, if there is a hold: slot
--       settle: 1, and for each meter: remaining}
--
-- A counter is one string: a, b and c as doubles of 8 bytes each, low byte first, followed by text,
-- ' e=s' for each slot of reservations: s units that come back at e ms if nobody settles them. What
-- a, b and c are:
--   f, c  begin of the window in ms, units used in it, 0
--   s     begin of the window in ms, units used in it, units used in the window before
--   b     last change in us, debt in units times us of span, 0; amount of it drains in each us
-- Nothing is written before all is decided, so a run that fails leaves no trace. The counters of
-- one take are different ones. This runs for every request: functions get what they need handed
-- in, as whatever they would capture is paid for in each run, whether they are called or not.
local argv, call = ARGV, redis.call
local now = call('TIME')
local now_us = now[1] * 1000000 + now[2]
now = (now_us - now_us % 1000) / 1000

-- Each spec is worked out where it stands: numbers for words, and in place of span and burst the
-- begin and end of the present window, for a bucket one unit and all it can hold as debts.
local specs = argv[1] + 0
local item = specs * 6 + 2
for i = 2, item - 1, 6 do
  local kind, span = argv[i], argv[i + 2]
  local amount = argv[i + 1] + 0
  argv[i + 1] = amount
  if kind == 'b' then
    local unit = span * 1000
    argv[i + 2] = unit
    argv[i + 3] = amount > 0 and argv[i + 3] * unit or 0 -- what never drains is never let in
  elseif kind == 'c' then
    local from, till, last = 0, nil, 0
    for border in string.gmatch(span, '%d+') do
      border = border + 0
      if border > now then till = border break end
      from, last = border, border - from
    end
    if not till then -- nobody sent newer borders: windows like the last one go on
      from = now - (now - from) % last
      till = from + last
    end
    argv[i + 2], argv[i + 3] = from, till
  else
    span = span + 0
    local from = now - now % span
    argv[i + 2], argv[i + 3] = from, from + span
  end
end

-- So is each cost: numbers for words, and for a spec the place where it stands. The table leads to
-- the first meter of each; the place before it tells where the last one ends.
local costs = {false}
item = item + 1
for c = 1, argv[item - 1] + 0 do
  local last = item + argv[item] * 3
  for m = item + 1, last, 3 do
    if argv[m] + 0 > specs then error('quota: there is no spec ' .. argv[m]) end
    argv[m], argv[m + 1], argv[m + 2] = argv[m] * 6 - 4, argv[m + 1] + 0, argv[m + 2] + 0
  end
  argv[item], costs[c], item = last, item + 1, last + 1
end

-- Reads counter k into its places in st, moved on to the present. These are, from j = 7k - 6 on:
-- a, b, c, the slots as text, the units in them, once it was changed its spec, and whether b is all
-- that can have changed: it has no slots, and lives as long as its window in any case.
local function look(st, j, text, argv, i, now, now_us)
  if text == nil then error('quota: there are not so many keys') end
  local kind, from = argv[i], argv[i + 2]
  local a, b, c, slots, held, lives = nil, 0, 0, '', 0, false
  if text and #text >= 24 then a, b, c = struct.unpack('<ddd', text) end
  if not (a and a >= 0 and b >= 0 and c >= 0 and a + b + c < math.huge) then -- new, or not ours
    a, b, c = kind == 'b' and now_us or from, 0, 0
  else
    if kind == 'b' then
      -- After a failover the clock may be behind what it was: then nothing drains until it is not.
      if now_us > a then
        b = b - (now_us - a) * argv[i + 1]
        a = now_us
        if b < 0 then b = 0 end
      end
    elseif a ~= from then
      c = kind == 's' and a == from + from - argv[i + 3] and b or 0
      a, b = from, 0
    else
      lives = kind ~= 'c' and #text == 24 -- windows of a calendar may turn out longer
    end
    if #text > 24 then
      for e, s in string.gmatch(string.sub(text, 25), ' (%d+)=(%d+)') do
        if e + 0 > now then
          slots = slots .. ' ' .. e .. '=' .. s
          held = held + s
        end
      end
    end
  end
  st[j], st[j + 1], st[j + 2], st[j + 3], st[j + 4], st[j + 5], st[j + 6] =
    a, b, c, slots, held, false, lives
end

-- Units left; below zero when more were charged than there are.
local function left(st, j, argv, i, now)
  if argv[i] == 'b' then
    return math.floor((argv[i + 3] - st[j + 1]) / argv[i + 2]) - st[j + 4]
  end
  local room, before = argv[i + 1] - st[j + 1] - st[j + 4], st[j + 2]
  if before == 0 then return room end
  local till = argv[i + 3]
  return room - math.ceil(before * (till - now) / (till - argv[i + 2]))
end

-- Ms until the window ends, or until the bucket is full again, but a century at most: longer lives
-- might not fit where Redis keeps them.
local function reset(st, j, argv, i, now)
  if argv[i] ~= 'b' then return argv[i + 3] - now end
  local debt = st[j + 1] + st[j + 4] * argv[i + 2]
  return debt > 0 and math.min(math.ceil(debt / (argv[i + 1] * 1000)), 3155760000000) or 0
end

-- Ms until so many units fit in by time alone, with as many held.
local function fits(st, j, argv, i, now, units)
  local kind, from, till, used = argv[i], argv[i + 2], argv[i + 3], st[j + 1]
  if kind == 'b' then
    local debt = units * from - till
    return debt > 0 and math.huge or math.max(0, math.ceil((used + debt) / (argv[i + 1] * 1000)))
  end
  local room, before, span = argv[i + 1] - units, st[j + 2], till - from
  if room < 0 then return math.huge end
  if kind ~= 's' then return used > room and till - now or 0 end
  if used > room then return till + span - math.floor(room * span / used) - now end
  if before == 0 then return 0 end
  return math.max(0, till - math.floor((room - used) * span / before) - now)
end

-- Ms until so many units fit in if nothing else happens but that reservations expire.
local function wait(st, j, argv, i, now, units)
  if units > (argv[i] == 'b' and argv[i + 3] / argv[i + 2] or argv[i + 1]) then
    return math.max(reset(st, j, argv, i, now), 1000)
  end
  local slots, best = st[j + 3], fits(st, j, argv, i, now, units + st[j + 4])
  for e in string.gmatch(slots, ' (%d+)=') do
    local held = 0
    for later, s in string.gmatch(slots, ' (%d+)=(%d+)') do
      if later + 0 > e + 0 then held = held + s end
    end
    best = math.min(best, math.max(e - now, fits(st, j, argv, i, now, units + held)))
  end
  return math.min(math.max(best, 1), 3155760000000)
end

-- Puts units into a slot, or takes out as many as are there; gives how many it were.
local function shift(st, j, slot, units)
  local text, name = st[j + 3], ' ' .. slot .. '='
  local first, last = string.find(text, name, 1, true)
  if first then
    local had = string.match(text, '^%d+', last + 1)
    units = math.max(units, -had)
    local has = had + units
    name = has > 0 and name .. string.format('%.0f', has) or ''
    st[j + 3] = string.sub(text, 1, first - 1) .. name .. string.sub(text, last + 1 + #had)
  elseif units > 0 then
    st[j + 3] = text .. name .. string.format('%.0f', units)
  else
    return 0
  end
  st[j + 4] = st[j + 4] + units
  return units
end

local stored = call('MGET', unpack(KEYS))
-- A table made with its places need not grow; these suffice for a take of one meter.
local st = {false, false, false, false, false, false, false}
local reply, r, rooms, waits = {now_us, nil, nil, nil}, 1, {}, {}
local count = #argv
while item < count do
  local cost, answer = costs[argv[item] + 0], r + 1
  r = answer
  if cost then
    local last, at, verdict = argv[cost - 1], item, 1
    for m = cost, last, 3 do
      at = at + 1
      local i, k = argv[m], argv[at] + 0
      local j = k * 7 - 6
      argv[at] = j
      if not st[j] then look(st, j, stored[k], argv, i, now, now_us) end
      local units, room = argv[m + 1] + argv[m + 2], left(st, j, argv, i, now)
      if units < 1 then units = 1 end
      rooms[m], waits[m] = room, 0
      if room < units then
        waits[m] = wait(st, j, argv, i, now, units)
        if argv[i + 5] == 'e' then verdict = 0 elseif verdict == 1 then verdict = 2 end
      end
    end
    reply[answer] = verdict
    at = item
    for m = cost, last, 3 do
      at = at + 1
      local i, j, charge, hold, room, slot = argv[m], argv[at], argv[m + 1], argv[m + 2], rooms[m], 0
      if verdict > 0 and waits[m] == 0 and charge + hold > 0 then
        st[j + 1] = st[j + 1] + (argv[i] == 'b' and charge * argv[i + 2] or charge)
        if hold > 0 then
          -- Slots end at quarters of a life, so that there are few, and none too early.
          local quarter = argv[i + 4] / 4
          if quarter == 0 then error('quota: units held without an end') end
          slot = math.floor(math.ceil((now + argv[i + 4]) / quarter) * quarter + 0.5)
          shift(st, j, string.format('%.0f', slot), hold)
        end
        room = room - charge - hold
        st[j + 5] = i
      end
      reply[r + 1], reply[r + 2] = room > 0 and room or 0, reset(st, j, argv, i, now)
      r = r + 2
      if verdict ~= 1 then
        r = r + 1
        reply[r] = waits[m]
      end
      if hold > 0 then
        r = r + 1
        reply[r] = slot
      end
    end
    item = at + 1
  elseif argv[item] == '0' then
    local first = item + 2
    item = first + argv[item + 1] * 5
    reply[answer] = 1
    for m = first, item - 1, 5 do
      if argv[m] + 0 > specs then error('quota: there is no spec ' .. argv[m]) end
      local i, k = argv[m] * 6 - 4, argv[m + 1] + 0
      local j = k * 7 - 6
      if not st[j] then look(st, j, stored[k], argv, i, now, now_us) end
      local given = shift(st, j, argv[m + 2], -argv[m + 3])
      local used, charge = st[j + 1], argv[m + 4] + 0
      st[j + 1] = math.max(0, used + (argv[i] == 'b' and charge * argv[i + 2] or charge))
      if given ~= 0 or st[j + 1] ~= used then st[j + 5] = i end
      r = r + 1
      reply[r] = math.max(0, left(st, j, argv, i, now))
    end
  else
    error('quota: there is no cost ' .. argv[item])
  end
end

for k = 1, #KEYS do
  local j = k * 7 - 6
  local i, slots = st[j + 5], st[j + 3]
  if i then
    if st[j + 6] and slots == '' then
      call('SETRANGE', KEYS[k], '8', struct.pack('<d', st[j + 1])) -- which leaves its life as it is
    else
      local text = struct.pack('<ddd', st[j], st[j + 1], st[j + 2])
      local ms = reset(st, j, argv, i, now)
      if argv[i] == 's' then ms = ms + argv[i + 3] - argv[i + 2] end
      for e in string.gmatch(slots, ' (%d+)=') do ms = math.max(ms, e - now) end
      call('SET', KEYS[k], text .. slots, 'PX', string.format('%d', ms + 1000))
    end
  end
end
return reply
