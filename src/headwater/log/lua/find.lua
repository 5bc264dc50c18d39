-- Find the log that will do for a name, and join it; opens nothing.
--
-- KEYS: the names. ARGV[8..]: names, subject, the greatest age or -1, how stale the log may be.
-- Returns `ok` with the log, its state, age, remaining TTL and the place of its name; or `unbound`.

local row, place = find_any(ARGV[8], ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11]))
return row and found(row, place) or {'unbound'}
