-- A leased task goes back. KEYS: stream. ARGV: id, worker, deliveries, attempt, 'failed', 'final' or 'released',
-- idle_ms, code, reason, tally as JSON. After `failed` attempts are counted, and the last one makes the task dead, as
-- `final` does at once. A task is claimed again when it has been idle for the time of a lease; it starts with idle_ms.
-- Returns 1; 0 when the lease is no longer the worker's.
local stream, id, worker, how = KEYS[1], ARGV[1], ARGV[2], ARGV[5]
local deliveries, attempt = tonumber(ARGV[3]), tonumber(ARGV[4])
if not held(stream, id, worker, deliveries) then return 0 end
local job = read(stream, id)
local state, most = unpack(redis.call('HMGET', JOB(job), 'state', 'max_attempts'))
if not state or state == 'cancelled' then
  drop(stream, id, job, 'leased')
elseif how == 'final' or how == 'failed' and attempt >= tonumber(most) then
  bury(stream, id, worker, attempt, ARGV[7], ARGV[8], ARGV[9])
else
  local counted = how == 'failed' and deliveries or recounted(deliveries, attempt - 1)
  redis.call('XCLAIM', stream, GROUP, RETURNED, 0, id, 'IDLE', ARGV[6], 'RETRYCOUNT', counted, 'JUSTID')
  redis.call('DEL', SWEPT)
  count(job, 'leased', 'queued')
end
return 1
