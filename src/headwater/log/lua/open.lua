-- Open a log that no request can join.
--
-- KEYS: log, packs, lease. ARGV[5..]: log, tenant, subject, ttl, the name bound by an admissible ending or '',
-- a recovery if there is one. -- Returns `ok`, or a refusal of the id.

return open(ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], '', ARGV[10]) or {'ok'}
