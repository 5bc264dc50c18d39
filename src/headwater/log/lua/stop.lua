-- Take a subject off a log. Decides whether the writer is asked to stop, which it is when no other subject remains.
--
-- KEYS: log, packs, lease. ARGV[5..]: id, subject, what the subjects end in that leave by ceasing to read; the same for
-- the subject stands for all of these. Returns `ok` and 1 if the log has ended or its writer was asked to
-- stop, else 0; or a refusal.

local row, why = get(ARGV[5])
if not row then
  return {why}
end
local taken = {'by:' .. ARGV[6], 'by:' .. ARGV[6] .. ARGV[7]}
if ARGV[6] == ARGV[7] then
  for _, field in ipairs(redis.call('HKEYS', key('log', row.id))) do
    if string.sub(field, 1, 3) == 'by:' and string.sub(field, -#ARGV[7]) == ARGV[7] then
      taken[#taken + 1] = field
    end
  end
end
local gone = redis.call('HDEL', key('log', row.id), unpack(taken))
local left = redis.call('HINCRBY', key('log', row.id), 'subjects', 0 - gone)
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
