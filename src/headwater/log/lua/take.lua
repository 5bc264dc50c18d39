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
local refused, last, at, answer = '', 0, 3, {'', 0}

for _ = 1, tonumber(ARGV[2]) do
  local name, amount, window, most = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local ends, used = string.match(redis.call('HGET', KEYS[1], name) or '0 0', '^(%S+) (%S+)$')
  used = tonumber(ends) > now and tonumber(used) or 0
  ends = (math.floor(now / window) + 1) * window
  if refused == '' and most and (used >= most or used + amount > most) then
    refused = name
  elseif refused == '' and amount > 0 then
    used = used + amount
    redis.call('HSET', KEYS[1], name, string.format('%.0f %.17g', ends, used))
    last = math.max(last, ends)
  end
  answer[#answer + 1] = string.format('%.17g', used)
  answer[#answer + 1] = ends - now
  at = at + 4
end
if last > 0 and redis.call('PTTL', KEYS[1]) < last - now + SLACK then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', last - now + SLACK))
end

local ttl, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
if ttl then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
  local held, new = redis.call('ZCARD', KEYS[2]), 0
  for i = at + 2, #ARGV do
    new = new + (redis.call('ZSCORE', KEYS[2], ARGV[i]) and 0 or 1)
  end
  if refused == '' and ttl > 0 and new > 0 and most and held + new > most then
    refused = 'slots'
  elseif refused == '' then
    for i = at + 2, #ARGV do
      if ttl > 0 then
        redis.call('ZADD', KEYS[2], string.format('%.0f', now + ttl), ARGV[i])
      else
        redis.call('ZREM', KEYS[2], ARGV[i])
      end
    end
    if ttl > 0 and redis.call('PTTL', KEYS[2]) < ttl + SLACK then
      redis.call('PEXPIRE', KEYS[2], ttl + SLACK)
    end
  end
  answer[2] = redis.call('ZCARD', KEYS[2])
end
answer[1] = refused
return answer
