-- Describe a log, after sealing it if it has lapsed.
--
-- KEYS: log, packs, lease. ARGV[8]: id. Returns `ok`, tenant, state, epoch, last sequence, age; or a refusal.

local row, why = get(ARGV[8])
if not row then
  return {why}
end
seal_if_lapsed(row)
return {'ok', row.tenant, state_of(row), row.epoch, row.last, age(row)}
