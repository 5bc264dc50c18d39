-- Append entries and renew the lease; decides whether this writer may, and which entries it has sent before.
--
-- KEYS: log, entries. ARGV[5..]: id, epoch, the most entries and bytes of a log, the first sequence, the entries.
-- Returns `ok`, who asked for the end or nil, whether somebody reads; or a refusal, having changed nothing.

local row, refusal = writable(ARGV[5], tonumber(ARGV[6]))
if not row then
  return refusal
end
local begin = fresh(row, 10, tonumber(ARGV[9]))
if not begin then
  return {'gap', row.last}
end
local bytes = row.size
for i = begin, #ARGV do
  bytes = bytes + #ARGV[i]
end
if row.last + #ARGV - begin + 1 > tonumber(ARGV[7]) or bytes > tonumber(ARGV[8]) then
  return {'full'}
end
add(row, begin)
redis.call('HSET', key('log', row.id), 'last', row.last, 'size', row.size, 'lease', whole(time + LEASE))
keep_alive(row)
-- Readers leave a mark that outlasts their regular look, so a log that nobody follows costs no message.
local read = row.readers ~= nil and row.readers > time
if read and begin <= #ARGV then
  redis.call('PUBLISH', key('wake', row.id), row.last)
end
return {'ok', row.stop, read and 1 or 0}
