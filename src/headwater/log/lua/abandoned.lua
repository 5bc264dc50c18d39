-- What a successor of a log's writer needs.
--
-- KEYS: log, packs, lease. ARGV[8]: id. Returns `ok`, and if the log is abandoned its epoch, its last sequence, the
-- recovery, the subject who requested a stop or '', and the milliseconds since it was opened; or a refusal.

local row, why = get(ARGV[8])
if not row then
  return {why}
end
seal_if_lapsed(row)
if not row.abandoned then
  return {'ok'}
end
return {'ok', row.epoch, row.last, redis.call('GET', key('recovery', row.id)), row.stop or '',
  math.max(now - row.opened, 0)}
