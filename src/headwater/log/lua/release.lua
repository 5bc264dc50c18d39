-- Give up a lease, and wake the readers elsewhere, who find the log abandoned.
--
-- KEYS: log, packs, lease. ARGV[8..]: id, epoch. Returns `ok`, or a refusal.

local row, why = get(ARGV[8])
if not row then
  return {why}
end
local refused = refusal(row, tonumber(ARGV[9]))
if refused then
  return refused
end
redis.call('DEL', key('lease', row.id))
seal_if_lapsed(row)
wake_readers(row, 'released')
return {'ok'}
