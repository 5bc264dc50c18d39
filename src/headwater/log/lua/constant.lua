-- Keep a value unless one is kept already; each use renews its TTL.
--
-- KEYS: constant. ARGV: value, TTL in milliseconds. Returns `ok` and the value that is kept.

redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'ok', redis.call('GET', KEYS[1])}
