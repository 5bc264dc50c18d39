-- Get, put or delete a document: a hash with `v`, its value, `n`, its version, and `u`, until when it is kept. Of its last
-- put also `by`, the word that is that put's own, and `ov` and `on`, the value and the version which it replaced, or 0.
--
-- KEYS: document. ARGV: skew, what to do; for a put also the value, the TTL in milliseconds, the version that must be
-- there, or -1, and a word of its own. Returns `ok` and, if there was a document, its value and version; or `conflict`.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'v', 'n', 'u', 'by', 'ov', 'on')
local value, version = kept[1], kept[1] and tonumber(kept[3]) > now and tonumber(kept[2]) or 0
if ARGV[2] == 'delete' then
  redis.call('DEL', KEYS[1])
elseif ARGV[2] == 'put' and version > 0 and kept[4] == ARGV[6] then
  -- Sent again, since its answer was lost: the answer is that of the first attempt.
  value, version = kept[5], tonumber(kept[6])
elseif ARGV[2] == 'put' then
  local wanted, ttl = tonumber(ARGV[5]), tonumber(ARGV[4])
  if wanted >= 0 and version ~= wanted then
    return {'conflict'}
  end
  redis.call('HSET', KEYS[1], 'v', ARGV[3], 'n', version + 1, 'u', string.format('%.0f', now + ttl), 'by', ARGV[6],
    'ov', version > 0 and value or '', 'on', version)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl + 60000))
end
if version > 0 then
  return {'ok', value, version}
end
return {'ok'}
