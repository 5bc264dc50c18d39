-- Add to counters of an owner, then hold or give back its slots, up to the first that is refused.
--
-- KEYS: a hash, which says `<end of the window> <used>` for each counter; a sorted set of the holders of slots, each with
-- the end of its time. Times are milliseconds.
-- ARGV: skew, the number of counts, for each of them its name, amount, window, and most or ''; and if slots are asked
-- about, their TTL, most or '', and the holders.
-- Returns the name of what was refused, or '', the slots that are held, and for each count what is used, and the time
-- until its window ends.

local SLACK = 60000
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
local refused, answer, names, added, last = '', {'', 0}, {}, {}, 0
local at = 3 + 4 * tonumber(ARGV[2])

for i = 3, at - 1, 4 do
  names[#names + 1] = ARGV[i]
end
local found = #names > 0 and redis.call('HMGET', KEYS[1], unpack(names)) or {}
for n, name in ipairs(names) do
  local i = 4 * n - 1
  local amount, window, most = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local before, used = string.match(found[n] or '0 0', '^(%S+) (%S+)$')
  local begun, ends = tonumber(before) > now, (math.floor(now / window) + 1) * window
  used = begun and tonumber(used) or 0
  if refused == '' and most and (used >= most or used + amount > most) then
    refused = name
  elseif refused == '' and amount > 0 then
    used, last = used + amount, math.max(last, begun and 0 or ends)
    added[#added + 1], added[#added + 2] = name, string.format('%.0f %.17g', ends, used)
  end
  answer[#answer + 1], answer[#answer + 2] = string.format('%.17g', used), ends - now
end
if #added > 0 then
  redis.call('HSET', KEYS[1], unpack(added))
end
-- A key lasts as long as the longest of its windows, or as its slots, and a little longer: so few steps set its TTL.
local function extend(key, kept)
  if redis.call('PTTL', key) < kept then
    redis.call('PEXPIRE', key, string.format('%.0f', kept + SLACK))
  end
end
if last > 0 then
  extend(KEYS[1], last - now)
end

local ttl, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
if ttl then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
  local held, holders = redis.call('ZCARD', KEYS[2]), {unpack(ARGV, at + 2)}
  if refused == '' and #holders > 0 and ttl > 0 then
    local new, ends = #holders, {}
    for _, known in ipairs(most and redis.call('ZMSCORE', KEYS[2], unpack(holders)) or {}) do
      new = new - (known and 1 or 0)
    end
    for i, holder in ipairs(holders) do
      ends[2 * i - 1], ends[2 * i] = string.format('%.0f', now + ttl), holder
    end
    if new > 0 and most and held + new > most then
      refused = 'slots'
    else
      held = held + redis.call('ZADD', KEYS[2], unpack(ends))
      extend(KEYS[2], ttl)
    end
  elseif refused == '' and #holders > 0 then
    held = held - redis.call('ZREM', KEYS[2], unpack(holders))
  end
  answer[2] = held
end
answer[1] = refused
return answer
