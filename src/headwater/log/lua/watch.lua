-- Look at many logs at once, for everyone who waits in one process. Marks the logs that are read there, and seals those
-- that have lapsed.
--
-- KEYS: log, packs and lease of each log. ARGV[8..]: for how many milliseconds to mark; then for each log its id, and 1
-- if it is read there. Returns for each its state or why it is not there, its last sequence, 1 if a stop was requested,
-- and 1 if a process had marked it as read before. The state is `lapsed` if Redis refused to seal the log, as when it is
-- out of memory; its readers find out why, and those of the other logs are not concerned.

local answer = {}
for i = 9, #ARGV, 2 do
  local row, why = get(ARGV[i])
  if row then
    if not pcall(seal_if_lapsed, row) then
      row.state = 'lapsed'
    end
    if row.state == 'open' and ARGV[i + 1] == '1' then
      mark_as_read(row, tonumber(ARGV[8]))
    end
    answer[#answer + 1] = {state_of(row), row.last, row.stop and 1 or 0, row.readers > time and 1 or 0}
  else
    answer[#answer + 1] = {why, 0, 0, 0}
  end
end
return answer
