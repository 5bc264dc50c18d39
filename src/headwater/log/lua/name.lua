-- What the steps on names share: the log a name is bound to, and the opening of a log.

local function join(id, subject)
  if redis.call('HSETNX', key('log', id), 'by:' .. subject, 1) == 1 then
    redis.call('HINCRBY', key('log', id), 'subjects', 1)
  end
end

-- The log that will do for a name, which the subject then joins; or nil. A binding alone proves nothing: the log itself
-- is looked up, so a binding that outlived its log finds none. `stale`: for how long past its TTL a sealed log will do.
local function find(name, subject, newer_than, stale)
  local id = redis.call('GET', key('name', name))
  local row = id and get(id)
  if not row then
    return nil
  end
  seal_if_lapsed(row)
  if row.state == 'open' then
    if row.stop then
      return nil
    end
    join(id, subject)
    return row
  end
  local old = age(row)
  if not row.admissible or old >= row.ttl + stale or (newer_than >= 0 and old > newer_than) then
    return nil
  end
  return row
end

-- The log that will do for the first of some names that has one, and the place of that name, from 0; or nil.
local function find_any(names, ...)
  local place = 0
  for name in each(names) do
    local row = find(name, ...)
    if row then
      return row, place
    end
    place = place + 1
  end
end

local function found(row, place)
  return {'ok', row.id, state_of(row), age(row), row.state == 'open' and 0 or row.ttl - age(row), place}
end

-- Open a log, or find it open when an earlier call is retried; returns a refusal or nil. `claimed` is the name bound to
-- it at once, `name` the one bound to it by an admissible ending; either may be ''. `recovery` may be nil.
local function open(id, tenant, subject, ttl, name, claimed, recovery)
  local row, why, remains = get(id)
  if row then
    return row.state ~= 'open' and {'sealed', row.state} or nil
  elseif why ~= 'none' then
    return {why}
  end
  -- Only if keys are left: after its first write a script may go on although memory has run out.
  if remains then
    redis.call('DEL', key('log', id), key('packs', id), key('lease', id))
  end
  local lasts = lifetime(ttl) + SPARE
  put({id = id, series = 1, epoch = 1, last = 0, size = 0, packs = 0}, 0, '')
  redis.call('PEXPIRE', key('packs', id), whole(lasts))
  redis.call('HSET', key('log', id), 'state', 'open', 'epoch', 1, 'ttl', ttl, 'opened', whole(now), 'tenant', tenant,
    'name', name, 'claimed', claimed, 'kept', whole(time + lasts), 'by:' .. subject, 1, 'subjects', 1,
    unpack(recovery and {'recovery', 1} or {}))
  redis.call('PEXPIRE', key('log', id), whole(lasts + TOMBSTONE))
  redis.call('SET', key('lease', id), '', 'PX', ARGV[2])
  if recovery then
    redis.call('SET', key('recovery', id), recovery, 'PX', whole(lasts))
  end
  return nil
end
