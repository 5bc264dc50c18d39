-- Append entries and renew the lease. Decides whether this writer may append, and which entries are stored already.
--
-- KEYS: log, packs, lease. ARGV[5..]: id, epoch, a log's bounds in entries and bytes, the first sequence, the packs.
-- Returns `ok`, `by:` and the subject who requested a stop or nothing, then the log's series, last sequence, bytes and
-- number of packs, and 1 if another process reads it; or a refusal, having changed nothing.

local row, why = get(ARGV[5])
if not row then
  return {why}
end
local refused = refusal(row, tonumber(ARGV[6]))
if refused then
  return refused
end
local packs, bytes = unstored_packs(row, 10, tonumber(ARGV[9]))
if not packs then
  return {'gap', row.last}
end
local last = #packs > 0 and packs[#packs][1] or row.last
if #packs > 0 and (last > tonumber(ARGV[7]) or row.size + bytes > tonumber(ARGV[8])) then
  return {'full'}
end
add_all(row, packs)
local lease = redis.call('GETEX', key('lease', row.id), 'PX', ARGV[2])
if not lease then
  -- The lease has lapsed and nobody has noticed: the writer was late, and is alive.
  lease = row.stop and 'by:' .. row.stop or ''
  redis.call('SET', key('lease', row.id), lease, 'PX', ARGV[2])
  redis.call('HDEL', key('log', row.id), 'lapsed')
end
extend(row, lifetime(row.ttl), SPARE)
if #packs > 0 then
  wake_readers(row, row.last)
end
return {'ok', lease, row.series, row.last, row.size, row.packs, row.readers > time and 1 or 0}
