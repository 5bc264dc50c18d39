-- Bind a name to a new log and open it, unless the name is bound to a log that will do. Decides who generates.
--
-- KEYS: the names, log, packs, lease. ARGV[8..]: names, log, tenant, subject, ttl, the greatest age or -1, how stale it may
-- be, second names or '', a recovery if there is one. Returns `won`; or `ok` with the log that will do, its state, age,
-- remaining TTL and the place of its name; or a refusal of the new id.

local names, id, ttl = ARGV[8], ARGV[9], tonumber(ARGV[12])
local row, place = find_any(names, ARGV[11], tonumber(ARGV[13]), tonumber(ARGV[14]))
if row then
  -- The winner retries when it did not get its answer.
  return row.id == id and row.state == 'open' and {'won'} or found(row, place)
end
local refused = open(id, ARGV[10], ARGV[11], ttl, ARGV[15] ~= '' and ARGV[15] or names, names, ARGV[16])
if refused then
  return refused
end
for name in each(names) do
  redis.call('SET', key('name', name), id, 'PX', whole(lifetime(ttl) + SPARE))
end
return {'won'}
