-- Find the log that will do for a name, and join it; opens nothing.
--
-- KEYS: name. ARGV[7..]: name, subject, the greatest age or -1.
-- Returns `ok` with the log, its state, age and remaining TTL; or `unbound`.

local row = find(ARGV[7], ARGV[8], tonumber(ARGV[9]))
return row and found(row) or {'unbound'}
