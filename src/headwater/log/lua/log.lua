-- The log as its keys hold it; goes before every step that deals with one.
--
-- Keys, all under the tag that the log's id begins with:
--   headwater:{tag}:log:<id>      hash: what is known of the log; as long as it lasts it also is the log's tombstone
--   headwater:{tag}:packs:<id>    stream of packs, each the entries of one append; there from the opening on
--   headwater:{tag}:lease:<id>    string: lasts while the writer lives; empty, or `by:` and who asked it to stop
--   headwater:{tag}:name:<name>   string: the id of the log the name is bound to
-- Channels: headwater:{tag}:wake:<id> for readers, headwater:{tag}:stop:<id> for the writer.
--
-- A pack is `<turn>-<sequence of its first entry>`, with `l`, the sequence of its last, `e`, their epoch, `n`, how many
-- packs came before it, `s`, the bytes of the log with it, and `d`, the entries, a line each. Redis refuses a pack
-- that is not beyond the last one, so a pack that is sent again is stored once, whatever happened to the first reply.
-- A pack without entries opens the log, as 1-0. Another begins a new turn when the writer is asked to stop, and so does
-- the pack of a `lost` ending: from then on what the writer adds by itself is refused, and it has to ask.
--
-- Times are milliseconds. Leases are by the server's clock alone; ages and TTLs add the caller's skew, which is 0 but in
-- tests. What has expired is refused by these rules; the keys' own TTLs only clear up, a little later.
--
-- ARGV[1..4]: skew, lease, grace, tombstone. Steps that may find a lapsed lease: ARGV[5..6], the `lost` ending's bytes
-- before and after the seconds since the log was opened, which only this side knows.

local LEASE, GRACE, TOMBSTONE = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local SLACK = 60000
local SPARE = 600000 -- by how much keys outlive what they must, so that not every append has to renew their TTLs
local clock = redis.call('TIME')
local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now = time + tonumber(ARGV[1])

-- `script.py` replaces TAG_SIZE with the number of bytes that names and logs of one shard share.
local function key(kind, id)
  return 'headwater:{' .. string.sub(id, 1, TAG_SIZE) .. '}:' .. kind .. ':' .. id
end

local function whole(number)
  return string.format('%.0f', number)
end

-- The log, or nil and why not: `none`, `gone` (expired or deleted), `torn` (some of its entries have vanished); for a
-- log that is none also whether something is left of it.
local function get(id)
  local held = redis.call('HMGET', key('log', id), 'state', 'epoch', 'ttl', 'opened', 'sealed', 'admissible', 'stop',
    'name', 'claimed', 'tenant', 'readers', 'kept', 'turn', 'last', 'packs')
  if not held[1] then
    return nil, 'none'
  end
  local row = {
    id = id, state = held[1], epoch = tonumber(held[2]), ttl = tonumber(held[3]), opened = tonumber(held[4]),
    sealed = tonumber(held[5]), admissible = held[6] == '1', stop = held[7], name = held[8], claimed = held[9],
    tenant = held[10], readers = tonumber(held[11]) or 0, kept = tonumber(held[12]), turn = tonumber(held[13]),
    last = tonumber(held[14]), packs = tonumber(held[15]),
  }
  -- An eviction takes one key and leaves the other; a log with a hole must not be read, nor written on.
  if row.state == 'open' then
    row.top = redis.call('XREVRANGE', key('packs', id), '+', '-', 'COUNT', 1)[1]
    if not row.top then
      return nil, 'torn'
    end
    local pack = row.top[2] -- as `put` writes it
    row.turn = tonumber(string.match(row.top[1], '%d+'))
    row.last, row.packs, row.size = tonumber(pack[2]), tonumber(pack[6]) + 1, tonumber(pack[8])
    return row
  end
  -- A deleted log is one whose `sealed`, `ttl` and grace were over when it was deleted.
  local expires = row.state == 'deleted' and row.sealed or row.sealed + row.ttl + GRACE
  if now >= expires + TOMBSTONE then
    return nil, 'none', true
  elseif now >= expires or row.state == 'deleted' then
    return nil, 'gone'
  elseif redis.call('XLEN', key('packs', id)) ~= row.packs then
    return nil, 'torn'
  end
  return row
end

-- Add a pack behind the last one; `first` is where it stands among those of its turn.
local function put(row, first, data)
  redis.call('XADD', key('packs', row.id), row.turn .. '-' .. first,
    'l', row.last, 'e', row.epoch, 'n', row.packs, 's', row.size, 'd', data)
  row.packs = row.packs + 1
end

-- Add the entries up to a sequence.
local function add(row, last, data)
  local first = row.last + 1
  row.last, row.size = last, row.size + #data - (last - first) -- newlines are no bytes of the log's
  put(row, first, data)
end

-- Have all keys of a log last so long from now, and the memory of its id longer; done seldom, for the spare's sake.
local function keep(row, ms, spare)
  if row.kept >= time + ms + spare / 2 then
    return
  end
  row.kept = time + ms + spare
  redis.call('HSET', key('log', row.id), 'kept', whole(row.kept))
  redis.call('PEXPIRE', key('packs', row.id), whole(ms + spare))
  redis.call('PEXPIRE', key('log', row.id), whole(ms + spare + TOMBSTONE))
  if row.claimed ~= '' and redis.call('GET', key('name', row.claimed)) == row.id then
    redis.call('PEXPIRE', key('name', row.claimed), whole(ms + spare))
  end
end

-- A live log lasts as long as if its writer fell silent now and the log was found lost when its lease lapsed.
local function lifetime(ttl)
  return LEASE + ttl + GRACE + SLACK
end

local function free(row)
  for _, name in ipairs(row.claimed == row.name and {row.name} or {row.claimed, row.name}) do
    if name ~= '' and redis.call('GET', key('name', name)) == row.id then
      redis.call('DEL', key('name', name))
    end
  end
end

-- Readers leave a mark that outlasts their regular look, so a log that nobody follows costs no message.
local function tell_readers(row, news)
  if row.readers > time then
    redis.call('PUBLISH', key('wake', row.id), news)
  end
end

-- Close a log whose ending has just been added; bind its names to it, or free them.
local function close(row, state, admissible)
  redis.call('HSET', key('log', row.id), 'state', state, 'epoch', row.epoch, 'turn', row.turn, 'last', row.last,
    'packs', row.packs, 'sealed', whole(now), 'admissible', admissible and '1' or '0')
  row.state, row.sealed, row.admissible, row.top = state, now, admissible, nil
  if not admissible then
    free(row)
  elseif row.name ~= '' then
    redis.call('SET', key('name', row.name), row.id, 'PX', whole(row.ttl + SLACK))
  end
  keep(row, row.ttl + GRACE + SLACK, 0)
  tell_readers(row, 'end')
end

-- Seal a log whose writer has let its lease lapse: one epoch up, so that the writer is fenced off if it comes back.
local function seal_if_lapsed(row)
  if row.state ~= 'open' or redis.call('EXISTS', key('lease', row.id)) == 1 then
    return
  end
  local at = string.format('%.3f', math.max(now - row.opened, 0) / 1000)
  row.epoch, row.turn = row.epoch + 1, row.turn + 1
  add(row, row.last + 1, ARGV[5] .. at .. ARGV[6])
  close(row, 'lost', false)
  redis.call('PUBLISH', key('stop', row.id), 'lost')
end

local function age(row)
  return row.state == 'open' and 0 or math.max(now - row.sealed, 0)
end
