-- Append entries and renew the lease; decides whether this writer may, and which entries it has sent before.
--
-- KEYS: log, packs, lease. ARGV[5..]: id, epoch, the most entries and bytes of a log, the first sequence, the packs.
-- Returns `ok`, `by:` and who asked for the end or nothing, and the turn, last sequence, bytes and packs of the log; or
-- a refusal, having changed nothing.

local row, why = get(ARGV[5])
if not row then
  return {why}
end
local refused = refusal(row, tonumber(ARGV[6]))
if refused then
  return refused
end
local packs, bytes = fresh(row, 10, tonumber(ARGV[9]))
if not packs then
  return {'gap', row.last}
end
local last = #packs > 0 and packs[#packs][1] or row.last
if #packs > 0 and (last > tonumber(ARGV[7]) or row.size + bytes > tonumber(ARGV[8])) then
  return {'full'}
end
add_all(row, packs)
local asked = redis.call('GETEX', key('lease', row.id), 'PX', ARGV[2])
if not asked then
  -- It has lapsed and nobody noticed: the writer was late, and is alive.
  asked = row.stop and 'by:' .. row.stop or ''
  redis.call('SET', key('lease', row.id), asked, 'PX', ARGV[2])
end
keep(row, lifetime(row.ttl), SPARE)
if #packs > 0 then
  tell_readers(row, row.last)
end
return {'ok', asked, row.turn, row.last, row.size, row.packs}
