-- A leased task goes back. KEYS: stream. ARGV: id, worker, deliveries, 'failed' or 'released', idle_ms, code, reason.
-- After `failed` attempts are counted, and the last one makes the task dead. A task is claimed again when it has been
-- idle for the time of a lease; it starts with idle_ms. Returns 1; 0 when the lease is no longer the worker's.
local stream, id, worker, deliveries, how, idle_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
if not held(stream, id, worker, deliveries) then return 0 end
local job = read(stream, id)
local state, most = unpack(redis.call('HMGET', JOB(job), 'state', 'max_attempts'))
if not state or state == 'cancelled' then
  drop(stream, id, job, 'leased')
elseif how == 'failed' and attempts_of(deliveries) >= tonumber(most) then
  bury(stream, id, worker, attempts_of(deliveries), ARGV[6], ARGV[7])
else
  local counted = how == 'failed' and deliveries or deliveries - 1 + RELEASED
  redis.call('XCLAIM', stream, GROUP, RETURNED, 0, id, 'IDLE', idle_ms, 'RETRYCOUNT', counted, 'JUSTID')
  redis.call('DEL', SWEPT)
  count(job, 'leased', 'queued')
end
return 1
