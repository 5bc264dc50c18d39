-- Delete a log and free its names; its hash remains as the tombstone.
--
-- KEYS: log, packs, lease. ARGV[5..]: id, a token of this call. Returns `ok`, or a refusal.

local row, why = get(ARGV[5])
if not row then
  -- Deleted by this very call, which is retried because its answer was lost.
  local again = why == 'gone' and redis.call('HGET', key('log', ARGV[5]), 'token') == ARGV[6]
  return {again and 'ok' or why}
end
free(row)
redis.call('DEL', key('packs', row.id), key('lease', row.id), key('log', row.id), key('recovery', row.id))
redis.call('HSET', key('log', row.id), 'state', 'deleted', 'sealed', whole(now), 'token', ARGV[6])
redis.call('PEXPIRE', key('log', row.id), whole(TOMBSTONE + SLACK))
redis.call('PUBLISH', key('wake', row.id), 'end')
redis.call('PUBLISH', key('stop', row.id), 'gone')
return {'ok'}
