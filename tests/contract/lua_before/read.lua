-- Read a page of packs after an offset, with how the log stands; seals the log if it has lapsed.
--
-- KEYS: log, packs, lease. ARGV[7..]: id, the offset's epoch and sequence, the bytes of a page, for how many
-- milliseconds to mark the log as read. Returns `ok`, state, epoch, series, last sequence, the sequence after which the
-- page begins, and packs, of which the first may also hold earlier entries; or a refusal.

local MOST_PACKS = 512

-- The packs from the one that holds an entry on: about `room` bytes of them, and at least one.
local function page_from(row, sequence, room)
  if row.top and row.top[2][10] ~= '' and first_of(row.top) <= sequence then
    return {row.top}
  end
  local start, page, size, count = sequence == 1 and '1-1' or holder(row, sequence), {}, 0, 16
  while start do
    local packs = redis.call('XRANGE', key('packs', row.id), start, '+', 'COUNT', count)
    for _, pack in ipairs(packs) do
      size = size + #pack[2][10]
      if size > room and #page > 0 then
        return page
      end
      page[#page + 1] = pack
    end
    local left = MOST_PACKS - #page
    if #packs < count or left == 0 then
      return page
    end
    start = string.match(packs[count][1], '%d+') .. '-' .. tonumber(packs[count][2][2]) + 1
    count = math.max(math.min(left, math.floor((room - size) * #page / math.max(size, 1))), 1)
  end
  return page
end

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
  -- Only a log's last entry can be of a later epoch than the offset; among the others the sequence decides.
  begin = math.min(sequence, row.last - 1)
end
if row.state == 'open' and mark > 0 and row.readers < time + mark / 2 then
  mark_as_read(row, mark) -- in the same step as the read, so that every later append is announced
end
local page = begin < row.last and page_from(row, begin + 1, tonumber(ARGV[10])) or {}
return {'ok', row.state, row.epoch, row.series, row.last, begin, page}
