-- Find the log that will do for a name, and join it; opens nothing.
--
-- KEYS: the names. ARGV[8..]: name, subject, the greatest age or -1.
-- Returns `ok` with the log, its state, age and remaining TTL; or `unbound`.

local row, place = find_any(ARGV[8], ARGV[9], tonumber(ARGV[10]))
return row and found(row, place) or {'unbound'}
