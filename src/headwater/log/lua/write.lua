-- What a writer's steps share: whether its lease still holds, and which of its entries are new.

-- The log as `get` gives it, or nil and the refusal to return.
local function writable(id, epoch)
  local row, why = get(id)
  if not row then
    return nil, {why}
  elseif row.epoch ~= epoch then
    return nil, {'fenced', row.epoch}
  elseif row.state ~= 'open' then
    return nil, {'sealed', row.state}
  end
  return row
end

-- Where in ARGV the entries begin that are not stored yet, or nil when they would leave a gap, or when entries of these
-- sequences are stored that say something else: a retry says the same, a second writer does not.
-- The entries are ARGV[begin] and those after it, of consecutive sequences, the first of which is `sequence`.
local function fresh(row, begin, sequence)
  if #ARGV < begin then
    return begin
  elseif sequence > row.last + 1 then
    return nil
  end
  local known = math.min(row.last - sequence + 1, #ARGV - begin + 1)
  if known > 0 then
    local stored = redis.call('XRANGE', key('entries', row.id), sequence, '+', 'COUNT', known)
    for i, each in ipairs(stored) do
      if each[2][2] ~= ARGV[begin + i - 1] then
        return nil
      end
    end
  end
  return begin + known
end

local function add(row, begin)
  for i = begin, #ARGV do
    row.last, row.size = row.last + 1, row.size + #ARGV[i]
    redis.call('XADD', key('entries', row.id), row.last .. '-' .. row.epoch, 'd', ARGV[i])
  end
end
