-- Where in a log's stream an entry is; goes before the steps that read entries.

local function first_of(pack)
  return tonumber(string.match(pack[1], '%-(%d+)'))
end

-- The id of the pack that holds an entry, or nil when it has vanished. A later turn's packs lie behind all of an earlier
-- one's, whatever their sequences; there is one turn, but for logs that were asked to stop or are lost.
local function holder(row, sequence)
  for turn = row.turn, 1, -1 do
    local pack = redis.call('XREVRANGE', key('packs', row.id), turn .. '-' .. sequence, '-', 'COUNT', 1)[1]
    if pack and pack[2][10] ~= '' and first_of(pack) <= sequence then
      return pack[1]
    end
  end
end
