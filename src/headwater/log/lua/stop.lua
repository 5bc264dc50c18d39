-- Take a subject off a log; decides whether the writer is asked to end, which it is when nobody else remains.
--
-- KEYS: log, packs, lease. ARGV[5..]: id, subject. Returns `ok` and 1 if the log has ended or was asked to; or a
-- refusal.

local row, why = get(ARGV[5])
if not row then
  return {why}
end
local left = tonumber(redis.call('HGET', key('log', row.id), 'subjects'))
if redis.call('HDEL', key('log', row.id), 'by:' .. ARGV[6]) == 1 then
  left = redis.call('HINCRBY', key('log', row.id), 'subjects', -1)
end
if row.state ~= 'open' then
  return {'ok', 1}
elseif left > 0 then
  return {'ok', 0}
end
if redis.call('HSETNX', key('log', row.id), 'stop', ARGV[6]) == 1 then
  -- A writer that appends without asking is refused from here on, and asks; one that is silent renews its lease.
  row.turn = row.turn + 1
  put(row, row.last, '')
  redis.call('SET', key('lease', row.id), 'by:' .. ARGV[6], 'XX', 'KEEPTTL')
end
redis.call('PUBLISH', key('stop', row.id), 'stop')
return {'ok', 1}
