-- A step over a collection of documents, all of which lie in two keys of one slot:
--   headwater:{tag}:collection:<name>  hash: the field '' says `<kept> <due> <turn> <renewed>`; for each document `m<name>`
--     says `<version> <until> <turn> <bytes> <replaced> <by>`, `v<name>` is its value, and `o<name>` the value that its last
--     put replaced, whose version was `replaced`, or 0; `by` is a word of that put's own
--   headwater:{tag}:names:<name>       sorted set: each name behind a dot, with the score 0, so that Redis orders them by
--     their bytes; and '' from the beginning on. If that is missing, the set was evicted, and is made anew
--
-- Times are milliseconds. `kept` is until when the keys last, at least as long as any document. No document expires before
-- `due`. A renewal counts up `turn`: documents of an earlier turn are kept until `renewed`. So it costs the same however
-- many documents there are.
--
-- KEYS: collection, names. ARGV: skew, what to do, and for
--   get, delete   name
--   put           name, value, TTL, the version that must be there, or -1, a word of its own
--   list          name to begin behind, or '', documents and bytes in a page
--   renew         TTL
--   drop          nothing
-- Returns `ok` and, if there was a document, its value and version; or `conflict`. A list returns `ok` and for each document
-- its name, value and version.

local SLACK, MANY = 60000, 1000
local hash, names, what, name = KEYS[1], KEYS[2], ARGV[2], ARGV[3]

if what == 'drop' then
  redis.call('UNLINK', hash, names)
  return {'ok'}
elseif what == 'delete' then
  redis.call('HDEL', hash, 'm' .. name, 'v' .. name, 'o' .. name)
  redis.call('ZREM', names, '.' .. name)
  return {'ok'}
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
local one = what == 'get' or what == 'put'
local found = one and redis.call('HMGET', hash, '', 'm' .. name, 'v' .. name) or redis.call('HMGET', hash, '')
local kept, due, turn, renewed = string.match(found[1] or '0 0 0 0', '(%d+) (%d+) (%d+) (%d+)')
kept, due, turn, renewed = tonumber(kept), tonumber(due), tonumber(turn), tonumber(renewed)

local function whole(number)
  return string.format('%.0f', number)
end

local function parsed(about)
  local version, ends, of, bytes, replaced, by = string.match(about, '^(%d+) (%d+) (%d+) (%d+) (%d+) (.*)$')
  ends = tonumber(of) < turn and renewed or tonumber(ends)
  return {version = tonumber(version), ends = ends, bytes = tonumber(bytes), replaced = tonumber(replaced), by = by}
end

local function fields(kind, members, first, last)
  local found = {}
  for i = first, math.min(last, #members) do
    found[#found + 1] = kind .. string.sub(members[i], 2)
  end
  return found
end

-- Delete what has expired, unless it is certain that nothing has.
local function purge()
  if due == 0 or now < due then
    return
  end
  due = 0
  local members = redis.call('ZRANGE', names, 1, -1)
  for i = 1, #members, MANY do
    local gone, fallen = {}, {}
    for j, about in ipairs(redis.call('HMGET', hash, unpack(fields('m', members, i, i + MANY - 1)))) do
      local member = members[i + j - 1]
      local ends = about and parsed(about).ends or 0
      if ends <= now then
        local each = string.sub(member, 2)
        gone[#gone + 1], gone[#gone + 2], gone[#gone + 3] = 'm' .. each, 'v' .. each, 'o' .. each
        fallen[#fallen + 1] = member
      elseif due == 0 or ends < due then
        due = ends
      end
    end
    if #fallen > 0 then
      redis.call('HDEL', hash, unpack(gone))
      redis.call('ZREM', names, unpack(fallen))
    end
  end
end

local function state()
  return whole(kept) .. ' ' .. whole(due) .. ' ' .. whole(turn) .. ' ' .. whole(renewed)
end

-- Have the keys last until then, and a little longer, so that not every put has to renew their TTLs.
local function extend(ends)
  local extended = ends + SLACK > kept
  if extended then
    kept = ends + SLACK + (ends - now) / 16
  end
  return extended
end

local function expire(...)
  for _, each in ipairs({...}) do
    redis.call('PEXPIRE', each, whole(kept - now))
  end
end

local function put(before)
  local value, ttl = ARGV[4], tonumber(ARGV[5])
  local ends, version = now + ttl, before and before.version or 0
  due = due == 0 and ends or math.min(due, ends)
  local extended = extend(ends)
  local about = table.concat({version + 1, whole(ends), whole(turn), #value, version, ARGV[7]}, ' ')
  if not before then
    if not found[1] then
      redis.call('DEL', names)
      redis.call('ZADD', names, 0, '')
    end
    redis.call('HSET', hash, '', state(), 'm' .. name, about, 'v' .. name, value)
    redis.call('ZADD', names, 0, '.' .. name)
    expire(names)
  else
    redis.call('HSET', hash, '', state(), 'm' .. name, about, 'v' .. name, value, 'o' .. name, found[3])
  end
  if extended then
    expire(hash, before and names or nil)
  end
end

-- The names behind one, after which a page begins; at the beginning of the collection '' is the first.
local function range()
  local from = name == '' and '-' or '(.' .. name
  return redis.call('ZRANGEBYLEX', names, from, '+', 'LIMIT', 0, tonumber(ARGV[4]) + 1)
end

local function listed()
  local members = range()
  if name == '' and members[1] ~= '' then
    redis.call('ZADD', names, 0, '')
    for _, each in ipairs(redis.call('HKEYS', hash)) do
      if string.sub(each, 1, 1) == 'm' then
        redis.call('ZADD', names, 0, '.' .. string.sub(each, 2))
      end
    end
    expire(names)
    members = range()
  end
  if members[1] == '' then
    table.remove(members, 1)
  end
  local most, size, count = tonumber(ARGV[5]), 0, 0
  if #members == 0 then
    return {'ok'}
  end
  local abouts = redis.call('HMGET', hash, unpack(fields('m', members, 1, tonumber(ARGV[4]))))
  for i, about in ipairs(abouts) do
    abouts[i] = parsed(about)
    size = size + abouts[i].bytes
    if i > 1 and size > most then
      break
    end
    count = i
  end
  local answer = {'ok'}
  for i, value in ipairs(redis.call('HMGET', hash, unpack(fields('v', members, 1, count)))) do
    answer[3 * i - 1], answer[3 * i], answer[3 * i + 1] = string.sub(members[i], 2), value, abouts[i].version
  end
  return answer
end

if what == 'list' then
  if not found[1] then
    return {'ok'}
  end
  local was = due
  purge()
  if due ~= was then
    redis.pcall('HSET', hash, '', state())  -- fails where memory has run out, and the next list looks again
  end
  return listed()
elseif what == 'renew' then
  purge()
  if found[1] then
    turn, renewed = turn + 1, now + tonumber(name)
    due = renewed
    local extended = extend(renewed)
    redis.call('HSET', hash, '', state())
    if extended then
      expire(hash, names)
    end
  end
  return {'ok'}
end

local before = found[2] and parsed(found[2])
before = before and before.ends > now and before
if what == 'get' then
  return before and {'ok', found[3], before.version} or {'ok'}
elseif before and before.by == ARGV[7] then
  -- Sent again, since its answer was lost: the answer is that of the first attempt.
  return before.replaced > 0 and {'ok', redis.call('HGET', hash, 'o' .. name), before.replaced} or {'ok'}
elseif tonumber(ARGV[6]) >= 0 and tonumber(ARGV[6]) ~= (before and before.version or 0) then
  return {'conflict'}
end
purge()
put(before)
return before and {'ok', found[3], before.version} or {'ok'}
