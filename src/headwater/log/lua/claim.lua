-- Bind a name to a new log and open it, unless the name is bound to a log that will do. Decides who generates.
--
-- KEYS: name, log, packs, lease. ARGV[7..]: name, log, tenant, subject, ttl, the greatest age or -1, a second name or
-- ''. Returns `won`; or `ok` with the log that will do, its state, age and remaining TTL; or a refusal of the new id.

local name, id, ttl = ARGV[7], ARGV[8], tonumber(ARGV[11])
local row = find(name, ARGV[10], tonumber(ARGV[12]))
if row then
  -- The winner retries when it did not get its answer.
  return row.id == id and row.state == 'open' and {'won'} or found(row)
end
local refused = open(id, ARGV[9], ARGV[10], ttl, ARGV[13] ~= '' and ARGV[13] or name, name)
if refused then
  return refused
end
redis.call('SET', key('name', name), id, 'PX', whole(lifetime(ttl) + SPARE))
return {'won'}
