-- Appends an entry to a topic, unless its publisher did so before, and publishes it with its place.
--
-- KEYS  the entries, a stream; where the topic stands, a hash
-- ARGV  epoch for a new topic (8 bytes) · publisher · its number · entries · bytes · age in ms · ms for which the topic is remembered ·
--       publishers that are remembered · channel · head of the message · entry
--
-- hash:   e epoch · t number of the newest entry · c its check · s bytes of all that were ever appended · o publishers in the order in which
--         they came · <publisher> its last number
-- stream: <number>-<ms> e = check u32 · check before u32 · bytes ever appended before u64 · entry
local entries, meta = KEYS[1], KEYS[2]
local publisher, number = ARGV[2], tonumber(ARGV[3])
local known = redis.call('HMGET', meta, 'e', 't', 'c', 's', 'o', publisher)
local epoch, top, check, sum = known[1], tonumber(known[2]), tonumber(known[3]), tonumber(known[4])
local order, last = known[5] or '', known[6]
if not (epoch and top and check and sum) then
  redis.call('DEL', entries, meta)
  epoch, top, check, sum, order, last = ARGV[1], 0, 0, 0, '', false
end
if last and tonumber(last) >= number then
  return 0
end
if not last then
  order = order .. publisher .. ','
  local _, count = string.gsub(order, ',', ',')
  if count > tonumber(ARGV[8]) then
    local first, rest = string.match(order, '^([^,]*),(.*)$')
    redis.call('HDEL', meta, first)
    order = rest
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entry = ARGV[11]
local before = check
top = top + 1
local function chained(check)
  return tonumber(string.sub(redis.sha1hex(string.format('%d:%s:%s', check, publisher, ARGV[3])), 1, 6), 16)
end
check = chained(before)
local id = string.format('%.0f-%.0f', top, now)
local added = redis.pcall('XADD', entries, id, 'e', struct.pack('>I4I4I8', check, before, sum) .. entry)
if type(added) == 'table' and added.err then
  if string.find(added.err, 'OOM') or string.find(added.err, 'READONLY') or string.find(added.err, 'MISCONF') then
    return added
  end
  -- Somebody else has written to the keys: what is there is in no order.
  redis.call('DEL', entries, meta)
  epoch, order, top, before, sum = ARGV[1], publisher .. ',', 1, 0, 0
  check = chained(before)
  redis.call('XADD', entries, string.format('1-%.0f', now), 'e', struct.pack('>I4I4I8', check, before, sum) .. entry)
end
sum = sum + #entry
redis.call('HSET', meta, 'e', epoch, 't', string.format('%.0f', top), 'c', check, 's', string.format('%.0f', sum), 'o', order, publisher, ARGV[3])

-- At most so many are taken away at once: bounds that were made smaller need several turns.
local left = redis.call('XLEN', entries)
for _ = 1, 100 do
  local oldest = redis.call('XRANGE', entries, '-', '+', 'COUNT', 1)[1]
  if not oldest then
    break
  end
  local ms = tonumber(string.match(oldest[1], '%-(%d+)$'))
  local behind = sum - struct.unpack('>I8', oldest[2][2], 9)
  if left <= tonumber(ARGV[4]) and behind <= tonumber(ARGV[5]) and now - ms <= tonumber(ARGV[6]) then
    break
  end
  redis.call('XDEL', entries, oldest[1])
  left = left - 1
end
redis.call('PEXPIRE', entries, ARGV[6])
redis.call('PEXPIRE', meta, ARGV[7])
redis.call('PUBLISH', ARGV[9], ARGV[10] .. epoch .. struct.pack('>I8I4I4', top, check, before) .. entry)
return 1
