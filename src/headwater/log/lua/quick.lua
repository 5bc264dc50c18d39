-- Append the next pack of a live log, as nearly every append does. Precedes `append.lua`, whose arguments and reply it
-- has, and leaves everything else to it, having changed nothing. It does the same in half the time, because it runs
-- before the functions that the other steps share are even made.

if #ARGV == 11 then
  local log = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'ttl', 'kept', 'readers', 'stop')
  local top = log[1] == 'open' and log[2] == ARGV[6] and redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if top then
    local pack, last, data = top[2], tonumber(ARGV[10]), ARGV[11]
    local size = pack[8] + #data - (last - ARGV[9])
    local clock = redis.call('TIME')
    local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
    local lifetime = ARGV[2] + log[3] + ARGV[3] + 60000 -- the SLACK of `log.lua`; half of its SPARE follows
    if pack[2] + 1 == tonumber(ARGV[9]) and last <= tonumber(ARGV[7]) and size <= tonumber(ARGV[8])
      and tonumber(log[4]) >= time + lifetime + 300000 then
      local series, packs = string.match(top[1], '%d+'), pack[6] + 1
      redis.call('XADD', KEYS[2], series .. '-' .. ARGV[9], 'l', ARGV[10], 'e', ARGV[6], 'n', packs, 's', size, 'd', data)
      local lease = redis.call('GETEX', KEYS[3], 'PX', ARGV[2])
      if not lease then
        lease = log[6] and 'by:' .. log[6] or ''
        redis.call('SET', KEYS[3], lease, 'PX', ARGV[2])
        redis.call('HDEL', KEYS[1], 'lapsed')
      end
      local read = log[5] and tonumber(log[5]) > time
      if read then
        redis.call('PUBLISH', 'headwater:{' .. string.sub(ARGV[5], 1, TAG_SIZE) .. '}:wake:' .. ARGV[5], last)
      end
      return {'ok', lease, tonumber(series), last, size, packs + 1, read and 1 or 0}
    end
  end
end
