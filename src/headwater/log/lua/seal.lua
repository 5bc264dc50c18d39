-- Append the last entries and close the log; decides which of many endings stands.
--
-- KEYS: log, entries. ARGV[5..]: id, epoch, state, 1 if the ending is admissible, the first sequence, the entries; the
-- last of them is the ending. Returns `ok`, or a refusal, having changed nothing.

local row, why = get(ARGV[5])
if not row then
  return {why}
end
local last = tonumber(ARGV[9]) + #ARGV - 10
if row.state ~= 'open' and row.last == last then
  local stored = redis.call('XREVRANGE', key('entries', row.id), '+', '-', 'COUNT', 1)[1]
  if stored[1] == last .. '-' .. ARGV[6] and stored[2][2] == ARGV[#ARGV] then
    return {'ok'} -- the same ending again: its writer did not hear that it was taken
  end
end
local refusal
row, refusal = writable(ARGV[5], tonumber(ARGV[6]))
if not row then
  return refusal
end
local begin = fresh(row, 10, tonumber(ARGV[9]))
if not begin or begin > #ARGV then
  return {'gap', row.last}
end
add(row, begin)
close(row, ARGV[7], ARGV[8] == '1')
return {'ok'}
