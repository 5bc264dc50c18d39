-- Append the last entries and close the log; decides which of many endings stands.
--
-- KEYS: log, packs, lease. ARGV[5..]: id, epoch, state, 1 if the ending is admissible, the first sequence, the packs;
-- the last line of them is the ending. Returns `ok`, or a refusal, having changed nothing.

local row, why = get(ARGV[5])
if not row then
  return {why}
end
local function ending(lines)
  return string.match(lines, '[^\n]*$')
end
if row.state ~= 'open' and row.last == tonumber(ARGV[#ARGV - 1]) and row.epoch == tonumber(ARGV[6]) then
  local stored = redis.call('XREVRANGE', key('packs', row.id), '+', '-', 'COUNT', 1)[1]
  if ending(stored[2][10]) == ending(ARGV[#ARGV]) then
    return {'ok'} -- the same ending again: its writer did not hear that it was taken
  end
end
local refused = refusal(row, tonumber(ARGV[6]))
if refused then
  return refused
end
local packs = fresh(row, 10, tonumber(ARGV[9]))
if not packs or #packs == 0 then
  return {'gap', row.last}
end
-- Each pack carries its number: when some have vanished, with a server that was replaced by one which lagged, those that
-- were added since do not make up for them.
if redis.call('XLEN', key('packs', row.id)) ~= row.packs then
  return {'torn'}
end
add_all(row, packs)
close(row, ARGV[7], ARGV[8] == '1')
return {'ok'}
