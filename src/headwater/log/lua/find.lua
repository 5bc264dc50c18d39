-- Find the log that will do for a name, and join it; opens nothing.
--
-- KEYS: name. ARGV[8..]: name, subject, the greatest age or -1, how stale the log may be.
-- Returns `ok` with the log, its state, age and remaining TTL; or `unbound`.

local row = find(ARGV[8], ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11]))
return row and found(row) or {'unbound'}
