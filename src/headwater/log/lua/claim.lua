-- Bind a name to a new log and open it, unless the name is bound to a log that will do. Decides who generates.
--
-- KEYS: name, log, packs, lease. ARGV[8..]: name, log, tenant, subject, ttl, the greatest age or -1, how stale it may be,
-- a second name or '', a recovery if there is one. Returns `won`; or `ok` with the log that will do, its state, age and
-- remaining TTL; or a refusal of the new id.

local name, id, ttl = ARGV[8], ARGV[9], tonumber(ARGV[12])
local row = find(name, ARGV[11], tonumber(ARGV[13]), tonumber(ARGV[14]))
if row then
  -- The winner retries when it did not get its answer.
  return row.id == id and row.state == 'open' and {'won'} or found(row)
end
local refused = open(id, ARGV[10], ARGV[11], ttl, ARGV[15] ~= '' and ARGV[15] or name, name, ARGV[16])
if refused then
  return refused
end
redis.call('SET', key('name', name), id, 'PX', whole(lifetime(ttl) + SPARE))
return {'won'}
