-- The log as its keys hold it; precedes every step that deals with one.
--
-- Keys, all with the tag that the log's id begins with:
--   headwater:{tag}:log:<id>      hash: what is known of the log; after its end also the log's tombstone
--   headwater:{tag}:packs:<id>    stream of packs, each the entries of one append; exists from the opening on
--   headwater:{tag}:lease:<id>    string: lasts while the writer lives; empty, or `by:` and who requested a stop
--   headwater:{tag}:name:<name>   string: the id of the log the name is bound to
--   headwater:{tag}:recovery:<id> string: what a successor of the writer needs; only while the log is open
-- Channels: headwater:{tag}:wake:<id> for readers; headwater:{tag}:stop:<id> for the writer, also when it is read.
--
-- A pack is the stream entry `<series>-<sequence of its first entry>` with five fields: `l`, the sequence of its last
-- entry; `e`, their epoch; `n`, the number of packs before it; `s`, the bytes of the log including it; `d`, the entries
-- as lines. Redis refuses a stream id that is not above the last one, so a pack that is sent again is stored once,
-- whatever happened to the first reply.
--
-- A pack without entries opens the log, as 1-0. The log gets a new series when its writer is asked to stop, when it is
-- taken over, and when it is sealed `lost`. From then on Redis refuses stream ids of the old series, which the writer would choose by itself,
-- so that the writer has to ask. The hash keeps the series of a sealed log in its field `turn`.
--
-- Times are milliseconds. Leases use the server's clock alone. Ages and TTLs add the caller's skew, which is 0 except
-- in tests. These rules refuse what has expired; the TTLs of the keys only clean up, a little later.
--
-- A log with a recovery has the field `recovery`. Its field `lapsed` is when a step first found its lease lapsed, which
-- is later than the lapse if nobody looked: it waits for a successor from then on. An end that the lease left behind
-- would cost each append a command more. `began` lists the first sequences of the epochs after the first, and `heir` is
-- the word of the call that took it over last.
--
-- ARGV[1..4]: skew, lease, grace, tombstone. In steps that may find a lapsed lease, ARGV[5..7]: the bytes of the `lost`
-- ending before and after the seconds since the log was opened, which only this side knows, and how long to wait for a
-- successor.

local LEASE, GRACE, TOMBSTONE = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local SLACK = 60000
local SPARE = 600000 -- by how much keys outlive the minimum, so that not every append has to renew their TTLs
local clock = redis.call('TIME')
local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now = time + tonumber(ARGV[1])

-- `script.py` replaces TAG_SIZE with the number of bytes that names and logs of one shard share.
local function key(kind, id)
  return 'headwater:{' .. string.sub(id, 1, TAG_SIZE) .. '}:' .. kind .. ':' .. id
end

-- The names that are given as one.
local function each(names)
  return string.gmatch(names, '[^\n]+')
end

local function whole(number)
  return string.format('%.0f', number)
end

-- The log; or nil and why not: `none`, `gone` (expired or deleted), `torn` (some of its entries have vanished). After
-- `none` also whether keys of it are left.
local function get(id)
  local fields = redis.call('HMGET', key('log', id), 'state', 'epoch', 'ttl', 'opened', 'sealed', 'admissible', 'stop',
    'name', 'claimed', 'tenant', 'readers', 'kept', 'turn', 'last', 'packs', 'recovery', 'lapsed', 'began')
  if not fields[1] then
    return nil, 'none'
  end
  local row = {
    id = id, state = fields[1], epoch = tonumber(fields[2]), ttl = tonumber(fields[3]), opened = tonumber(fields[4]),
    sealed = tonumber(fields[5]), admissible = fields[6] == '1', stop = fields[7], name = fields[8],
    claimed = fields[9], tenant = fields[10], readers = tonumber(fields[11]) or 0, kept = tonumber(fields[12]),
    series = tonumber(fields[13]), last = tonumber(fields[14]), packs = tonumber(fields[15]),
    recovery = fields[16], lapsed = tonumber(fields[17]), began = fields[18],
  }
  -- An eviction takes one key and leaves the others; a log with a hole must be neither read nor written.
  if row.state == 'open' then
    row.top = redis.call('XREVRANGE', key('packs', id), '+', '-', 'COUNT', 1)[1]
    if not row.top then
      return nil, 'torn'
    end
    local pack = row.top[2] -- as `put` writes it
    row.series = tonumber(string.match(row.top[1], '%d+'))
    row.last, row.packs, row.size = tonumber(pack[2]), tonumber(pack[6]) + 1, tonumber(pack[8])
    return row
  end
  -- In a deleted log `sealed` is when it was deleted, and there is no TTL or grace.
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

-- Add a pack behind the last one; `first` is the sequence in its stream id.
local function put(row, first, data)
  redis.call('XADD', key('packs', row.id), row.series .. '-' .. first,
    'l', row.last, 'e', row.epoch, 'n', row.packs, 's', row.size, 'd', data)
  row.packs = row.packs + 1
end

-- Add the entries up to a sequence.
local function add(row, last, data)
  local first = row.last + 1
  row.last, row.size = last, row.size + #data - (last - first) -- the newlines between entries do not count
  put(row, first, data)
end

-- Have all keys of a log last `ms` from now, and its tombstone longer; with `spare`, so that it is rarely necessary.
local function extend(row, ms, spare)
  if row.kept >= time + ms + spare / 2 then
    return
  end
  row.kept = time + ms + spare
  redis.call('HSET', key('log', row.id), 'kept', whole(row.kept))
  redis.call('PEXPIRE', key('packs', row.id), whole(ms + spare))
  redis.call('PEXPIRE', key('log', row.id), whole(ms + spare + TOMBSTONE))
  if row.recovery then
    redis.call('PEXPIRE', key('recovery', row.id), whole(ms + spare))
  end
  for name in each(row.claimed) do
    if redis.call('GET', key('name', name)) == row.id then
      redis.call('PEXPIRE', key('name', name), whole(ms + spare))
    end
  end
end

-- How long an open log must last if its writer falls silent now, and the log is found lost when its lease lapses.
local function lifetime(ttl)
  return LEASE + ttl + GRACE + SLACK
end

local function free(row)
  for name in each(row.claimed == row.name and row.name or row.claimed .. '\n' .. row.name) do
    if redis.call('GET', key('name', name)) == row.id then
      redis.call('DEL', key('name', name))
    end
  end
end

-- Mark an open log as read for `ms` from now. The first mark wakes the writer, which flushes rarely until then.
-- A server that is out of memory refuses the write, and a user without channels the message; a read must succeed all the
-- same, and the regular look finds what is not announced.
local function mark_as_read(row, ms)
  redis.pcall('HSET', key('log', row.id), 'readers', whole(time + ms))
  if row.readers <= time then
    redis.pcall('PUBLISH', key('stop', row.id), 'read')
  end
end

-- Publish news to readers, if their mark, which each regular look renews, says that there are any.
local function wake_readers(row, news)
  if row.readers > time then
    redis.call('PUBLISH', key('wake', row.id), news)
  end
end

-- Close a log whose ending has just been added; bind its names to it, or free them.
local function close(row, state, admissible)
  redis.call('HSET', key('log', row.id), 'state', state, 'epoch', row.epoch, 'turn', row.series, 'last', row.last,
    'packs', row.packs, 'sealed', whole(now), 'admissible', admissible and '1' or '0')
  row.state, row.sealed, row.admissible, row.top = state, now, admissible, nil
  if row.recovery then
    redis.call('DEL', key('recovery', row.id))
    row.recovery = nil
  end
  if not admissible then
    free(row)
  else
    for name in each(row.name) do
      redis.call('SET', key('name', name), row.id, 'PX', whole(row.ttl + GRACE + SLACK))
    end
  end
  extend(row, row.ttl + GRACE + SLACK, 0)
  wake_readers(row, 'end')
end

-- Seal a log whose lease has lapsed, one epoch up, so that its writer is fenced off if it comes back. One that may still
-- be taken over is `abandoned` instead.
local function seal_if_lapsed(row)
  if row.state ~= 'open' or redis.call('EXISTS', key('lease', row.id)) == 1 then
    return
  elseif row.recovery and redis.call('EXISTS', key('recovery', row.id)) == 1 then
    if not row.lapsed then
      row.lapsed = time
      redis.call('HSET', key('log', row.id), 'lapsed', whole(time))
    end
    row.abandoned = time < row.lapsed + tonumber(ARGV[7])
    if row.abandoned then
      return
    end
  end
  local at = string.format('%.3f', math.max(now - row.opened, 0) / 1000)
  row.epoch, row.series = row.epoch + 1, row.series + 1
  add(row, row.last + 1, ARGV[5] .. at .. ARGV[6])
  close(row, 'lost', false)
  redis.call('PUBLISH', key('stop', row.id), 'lost')
end

-- The log's state as a reply says it; the caller passes on that a log is abandoned.
local function state_of(row)
  return row.abandoned and 'abandoned' or row.state
end

local function age(row)
  return row.state == 'open' and 0 or math.max(now - row.sealed, 0)
end
