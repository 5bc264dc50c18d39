-- A page of entries after an offset, and how the log stands; decides nothing but that a lapsed log is lost.
--
-- KEYS: log, entries. ARGV[7..]: id, the offset's epoch and sequence, entries in a page, for how long to mark that it
-- is read. Returns `ok`, state, epoch, last sequence, and stream entries; or a refusal.

local row, why = get(ARGV[7])
if not row then
  return {why}
end
seal_if_lapsed(row)
local epoch, sequence, mark = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[11])
local begin = sequence
if epoch == 0 then
  begin = 0
elseif epoch ~= row.epoch then
  -- Only a log's last entry can be of a later epoch than the offset; sequences decide among the others.
  begin = math.min(sequence, row.last - 1)
end
if row.state == 'open' and mark > 0 and (row.readers or 0) < time + mark / 2 then
  -- In the same step as the look, so that whatever is appended after it is announced. A server that is out of memory
  -- refuses this write, and must not refuse the read for it: the regular look finds what is not announced.
  redis.pcall('HSET', key('log', row.id), 'readers', whole(time + mark))
end
local page = {}
if begin < row.last then
  page = redis.call('XRANGE', key('entries', row.id), whole(begin + 1), '+', 'COUNT', ARGV[10])
end
return {'ok', row.state, row.epoch, row.last, page}
