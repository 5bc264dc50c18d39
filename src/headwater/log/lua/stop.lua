-- Take a subject off a log. Decides whether the writer is asked to stop, which it is when no other subject remains.
--
-- KEYS: log, packs, lease. ARGV[5..]: id, subject. Returns `ok` and 1 if the log has ended or its writer was asked to
-- stop, else 0; or a refusal.

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
  -- The new series refuses the plain append of a writer that has not asked; a silent writer renews its lease and asks.
  row.series = row.series + 1
  put(row, row.last, '')
  redis.call('SET', key('lease', row.id), 'by:' .. ARGV[6], 'XX', 'KEEPTTL')
end
redis.call('PUBLISH', key('stop', row.id), 'stop')
return {'ok', 1}
