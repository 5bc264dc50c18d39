-- What a writer's steps share: whether its lease still holds, and which of its entries are new.

-- The refusal for a writer of this epoch, or nil if it may write.
local function refusal(row, epoch)
  if row.epoch ~= epoch then
    return {'fenced', row.epoch}
  elseif row.state ~= 'open' then
    return {'sealed', row.state}
  end
end

-- The lines from `first` to `last` that are not stored yet; or nil when other lines are stored in their places. A retry
-- sends the same lines, a second writer does not.
local function unstored_lines(row, first, last, data)
  local start = holder(row, first)
  local lines = {}
  for _, pack in ipairs(start and redis.call('XRANGE', key('packs', row.id), start, '+') or {}) do
    if pack[2][10] ~= '' then
      lines[#lines + 1] = pack[2][10]
    end
  end
  local stored, given = table.concat(lines, '\n') .. '\n', data .. '\n'
  local begin = 1
  for _ = first_of({start or '0-0'}), first - 1 do
    begin = (string.find(stored, '\n', begin, true) or #stored) + 1
  end
  stored = string.sub(stored, begin)
  local known, other = stored, given
  if last < row.last then
    known, other = given, stored
  end
  if not start or string.sub(other, 1, #known) ~= known then
    return nil
  end
  return string.sub(data, #stored + 1)
end

-- The packs in ARGV[begin] and after that are not stored yet, and their bytes; or nil when they would leave a gap, or
-- contradict what is stored. Each pack is two arguments: the sequence of its last entry, and its lines. `first` is the
-- sequence of the first entry of the first pack.
local function unstored_packs(row, begin, first)
  local packs, bytes, last = {}, 0, row.last
  for i = begin, #ARGV, 2 do
    local upto, data = tonumber(ARGV[i]), ARGV[i + 1]
    if first > last + 1 then
      return nil
    elseif first <= last then
      data = unstored_lines(row, first, upto, data)
      if not data then
        return nil
      end
      first = last + 1
    end
    if upto > last then
      packs[#packs + 1] = {upto, data}
      bytes, last = bytes + #data - (upto - first), upto
    end
    first = upto + 1
  end
  return packs, bytes
end

local function add_all(row, packs)
  for _, pack in ipairs(packs) do
    add(row, pack[1], pack[2])
  end
end
