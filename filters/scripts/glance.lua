-- glance: tells of many sales at once whether anything has happened, for next to nothing.
-- KEYS  the meta key of each sale
-- Reply one string per sale, '' without books: all that a look at the books would tell, the log by
--       its length. Whoever knows the same string from its last look need not look again.
--
-- Only the control plane calls it. The log's key is not named, as it lies in the sale's own slot.
local reply = {}
for i = 1, #KEYS do
  local b = redis.call('HMGET', KEYS[i], 'incarnation', 'generation', 'limit', 'override', 'suspended',
    'ring', 'heal_until', 'closed', 'seq', 'run')
  reply[i] = ''
  if b[1] then
    b[3] = b[4] or b[3]
    for field = 1, 10 do b[field] = b[field] or '' end
    b[11] = redis.call('LLEN', (string.gsub(KEYS[i], ':meta$', ':log')))
    reply[i] = table.concat(b, ' ')
  end
end
return reply
