-- Find the pack that holds an entry; precedes the steps that read entries.

local function first_of(pack)
  return tonumber(string.match(pack[1], '%-(%d+)'))
end

-- The stream id of the pack that holds an entry, or nil when it has vanished. Packs of a later series lie behind those
-- of an earlier one, whatever their sequences. Most logs have one series.
local function holder(row, sequence)
  for series = row.series, 1, -1 do
    local pack = redis.call('XREVRANGE', key('packs', row.id), series .. '-' .. sequence, '-', 'COUNT', 1)[1]
    if pack and pack[2][10] ~= '' and first_of(pack) <= sequence then
      return pack[1]
    end
  end
end
