-- Get, put or delete a document: a hash with `v`, its value, `n`, its version, and `u`, until when it is kept.
--
-- KEYS: document. ARGV: skew, what to do; for a put also the value, the TTL in milliseconds, and the version that must be
-- there, or -1. Returns `ok` and, if there was a document, its value and version; or `conflict`.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'v', 'n', 'u')
local version = kept[1] and tonumber(kept[3]) > now and tonumber(kept[2]) or 0
if ARGV[2] == 'delete' then
  redis.call('DEL', KEYS[1])
elseif ARGV[2] == 'put' then
  local wanted, ttl = tonumber(ARGV[5]), tonumber(ARGV[4])
  if wanted >= 0 and version == wanted + 1 and kept[1] == ARGV[3] then
    return {'ok'} -- a put that is repeated, since its answer was lost
  elseif wanted >= 0 and version ~= wanted then
    return {'conflict'}
  end
  redis.call('HSET', KEYS[1], 'v', ARGV[3], 'n', version + 1, 'u', string.format('%.0f', now + ttl))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl + 60000))
end
if version > 0 then
  return {'ok', kept[1], version}
end
return {'ok'}
