-- Append the first entries of an abandoned log's next epoch, and give the caller its lease. Decides who takes it over.
--
-- KEYS: log, packs, lease. ARGV[8..]: id, the new epoch, a word of this call, the state if the last entry is an ending or
-- '', 1 if that is admissible, the first sequence, the packs. Returns what `append.lua` does; or a refusal, having
-- changed nothing.

local row, why = get(ARGV[8])
if not row then
  return {why}
end
-- Taken over by this very call, which is sent again because its answer was lost.
local again = redis.call('HGET', key('log', row.id), 'heir') == ARGV[10]
if not again then
  local epoch, first = tonumber(ARGV[9]), tonumber(ARGV[13])
  seal_if_lapsed(row)
  if row.state ~= 'open' then
    return {'sealed', row.state}
  elseif not row.abandoned or epoch ~= row.epoch + 1 then
    return {'fenced', row.epoch}
  elseif first ~= row.last + 1 then
    return {'gap', row.last}
  elseif redis.call('XLEN', key('packs', row.id)) ~= row.packs then
    return {'torn'}
  end
  row.epoch, row.series = epoch, row.series + 1
  for i = 14, #ARGV, 2 do
    add(row, tonumber(ARGV[i]), ARGV[i + 1])
  end
  redis.call('HSET', key('log', row.id), 'epoch', epoch, 'began', (row.began or '') .. ' ' .. first, 'heir', ARGV[10])
  redis.call('HDEL', key('log', row.id), 'lapsed')
  redis.call('PUBLISH', key('stop', row.id), 'lost')
  if ARGV[11] ~= '' then
    close(row, ARGV[11], ARGV[12] == '1')
  else
    redis.call('SET', key('lease', row.id), row.stop and 'by:' .. row.stop or '', 'PX', ARGV[2])
    extend(row, lifetime(row.ttl), SPARE)
    wake_readers(row, row.last)
  end
end
return {'ok', row.stop and 'by:' .. row.stop or '', row.series, row.last, row.size or 0, row.packs,
  row.readers > time and 1 or 0}
