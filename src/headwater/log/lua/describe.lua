-- Describe a log, after sealing it if it has lapsed.
--
-- KEYS: log, packs, lease. ARGV[7]: id. Returns `ok`, tenant, state, epoch, last sequence, age; or a refusal.

local row, why = get(ARGV[7])
if not row then
  return {why}
end
seal_if_lapsed(row)
return {'ok', row.tenant, row.state, row.epoch, row.last, age(row)}
