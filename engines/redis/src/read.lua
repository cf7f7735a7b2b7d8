-- Reads where a topic stands and what is kept of it, from an entry on.
--
-- KEYS  the entries; where the topic stands
-- ARGV  epoch for a new topic (8 bytes) · number of the first entry · how many · age in ms · ms for which an unused topic is remembered
local entries, meta = KEYS[1], KEYS[2]
local known = redis.call('HMGET', meta, 'e', 't', 'c', 's')
local epoch, top, check = known[1], tonumber(known[2]), tonumber(known[3])
if not (epoch and top and check and known[4]) then
  redis.call('DEL', entries, meta)
  epoch, top, check = ARGV[1], 0, 0
  redis.call('HSET', meta, 'e', epoch, 't', 0, 'c', 0, 's', 0)
end
if redis.call('PTTL', meta) < tonumber(ARGV[5]) then
  redis.call('PEXPIRE', meta, ARGV[5])
end
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[4])
for _ = 1, 1000 do
  local it = redis.call('XRANGE', entries, '-', '+', 'COUNT', 1)[1]
  if not it or tonumber(string.match(it[1], '%-(%d+)$')) >= oldest then
    break
  end
  redis.call('XDEL', entries, it[1])
end
local found = {}
-- With a count of 0 there is no list.
for _, it in ipairs(redis.call('XRANGE', entries, ARGV[2] .. '-0', '+', 'COUNT', ARGV[3]) or {}) do
  found[#found + 1] = string.match(it[1], '^(%d+)%-')
  found[#found + 1] = it[2][2]
end
return { epoch, string.format('%.0f', top), string.format('%.0f', check), found }
