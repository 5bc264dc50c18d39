-- The log as its keys hold it; goes before every step that deals with one.
--
-- Keys, all under the tag that the log's id begins with:
--   headwater:{tag}:log:<id>      hash: what is known of the log; as long as it lasts it also is the log's tombstone
--   headwater:{tag}:entries:<id>  stream: entry <sequence>-<epoch>, field `d`; absent while the log is empty
--   headwater:{tag}:name:<name>   string: the id of the log the name is bound to
-- Channels: headwater:{tag}:wake:<id> for readers, headwater:{tag}:stop:<id> for the writer.
--
-- Times are milliseconds. Leases are by the server's TIME alone; ages and TTLs add the caller's skew, which is 0 but in
-- tests. What has expired is refused by these rules; the keys' own TTLs only clear up, a little later.
--
-- ARGV[1..4]: skew, lease, grace, tombstone. Steps that may find a lapsed lease: ARGV[5..6], the `lost` ending's bytes
-- before and after the seconds since the log was opened, which only this side knows.

local LEASE, GRACE, TOMBSTONE = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local SLACK = 60000
local clock = redis.call('TIME')
local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now = time + tonumber(ARGV[1])

local function key(kind, id)
  return 'headwater:{' .. string.sub(id, 1, 12) .. '}:' .. kind .. ':' .. id
end

local function whole(number)
  return string.format('%.0f', number)
end

-- The log, or nil and why not: `none`, `gone` (expired or deleted), `torn` (some of its entries have vanished).
local function get(id)
  local held = redis.call('HMGET', key('log', id), 'state', 'epoch', 'last', 'size', 'ttl', 'lease', 'opened',
    'sealed', 'admissible', 'stop', 'name', 'claimed', 'tenant', 'readers')
  if not held[1] then
    return nil, 'none'
  end
  local row = {
    id = id, state = held[1], epoch = tonumber(held[2]), last = tonumber(held[3]), size = tonumber(held[4]),
    ttl = tonumber(held[5]), lease = tonumber(held[6]), opened = tonumber(held[7]), sealed = tonumber(held[8]),
    admissible = held[9] == '1', stop = held[10], name = held[11], claimed = held[12], tenant = held[13],
    readers = tonumber(held[14]),
  }
  if row.state ~= 'open' then
    -- A deleted log is one whose `sealed`, `ttl` and grace were over when it was deleted.
    local expires = row.state == 'deleted' and row.sealed or row.sealed + row.ttl + GRACE
    if now >= expires + TOMBSTONE then
      return nil, 'none'
    elseif now >= expires or row.state == 'deleted' then
      return nil, 'gone'
    end
  end
  -- An eviction takes one key and leaves the other; a log with a hole must not be read, nor written on.
  if redis.call('XLEN', key('entries', id)) ~= row.last then
    return nil, 'torn'
  end
  return row
end

-- Give all keys of a log their TTL: so long after now its entries go, and later the memory of its id.
local function keep(row, ms)
  redis.call('PEXPIRE', key('entries', row.id), whole(ms + SLACK))
  redis.call('PEXPIRE', key('log', row.id), whole(ms + TOMBSTONE + SLACK))
  if row.claimed and redis.call('GET', key('name', row.claimed)) == row.id then
    redis.call('PEXPIRE', key('name', row.claimed), whole(ms + SLACK))
  end
end

-- A live log lasts as long as if its writer fell silent now and the log was found lost when its lease lapsed.
local function keep_alive(row)
  keep(row, LEASE + row.ttl + GRACE)
end

local function free(row)
  for _, name in ipairs({row.claimed or '', row.name or ''}) do
    if name ~= '' and redis.call('GET', key('name', name)) == row.id then
      redis.call('DEL', key('name', name))
    end
  end
end

-- Close a log whose ending has just been added; bind its names to it, or free them.
local function close(row, state, admissible)
  redis.call('HSET', key('log', row.id), 'state', state, 'epoch', row.epoch, 'last', row.last, 'sealed', whole(now),
    'admissible', admissible and '1' or '0')
  row.state, row.sealed, row.admissible = state, now, admissible
  if admissible then
    if row.name then
      redis.call('SET', key('name', row.name), row.id, 'PX', whole(row.ttl + SLACK))
    end
  else
    free(row)
  end
  keep(row, row.ttl + GRACE)
  redis.call('PUBLISH', key('wake', row.id), 'end')
end

-- Seal a log whose writer has let its lease lapse: one epoch up, so that the writer is fenced off if it comes back.
local function seal_if_lapsed(row)
  if row.state ~= 'open' or time < row.lease then
    return
  end
  local at = string.format('%.3f', math.max(now - row.opened, 0) / 1000)
  row.epoch, row.last = row.epoch + 1, row.last + 1
  redis.call('XADD', key('entries', row.id), row.last .. '-' .. row.epoch, 'd', ARGV[5] .. at .. ARGV[6])
  close(row, 'lost', false)
  redis.call('PUBLISH', key('stop', row.id), 'lost')
end

local function age(row)
  return row.state == 'open' and 0 or math.max(now - row.sealed, 0)
end
