-- Append the last entries and close the log. Decides which of several endings stands.
--
-- KEYS: log, packs, lease. ARGV[5..]: id, epoch, state, 1 if the ending is admissible, the first sequence, the packs;
-- their last line is the ending. Returns `ok`; or a refusal, having changed nothing.

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
    return {'ok'} -- a retry: the writer did not get the answer to its seal
  end
end
local refused = refusal(row, tonumber(ARGV[6]))
if refused then
  return refused
end
local packs = unstored_packs(row, 10, tonumber(ARGV[9]))
if not packs or #packs == 0 then
  return {'gap', row.last}
end
-- Each pack carries its number. If packs have vanished, because a lagging replica replaced the server, later ones carry
-- numbers that are too high for the length of the stream.
if redis.call('XLEN', key('packs', row.id)) ~= row.packs then
  return {'torn'}
end
add_all(row, packs)
close(row, ARGV[7], ARGV[8] == '1')
return {'ok'}
