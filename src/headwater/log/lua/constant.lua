-- Keep a value unless one is kept, and tell which is; each use renews its time.
--
-- KEYS: constant. ARGV: value, milliseconds to keep it. Returns `ok` and the value that is kept.

redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'ok', redis.call('GET', KEYS[1])}
