-- Keep a lease, and count another number of attempts. KEYS: stream. ARGV: id, worker, deliveries, attempts. Returns the
-- deliveries from now on; 0 when the lease is no longer the worker's: then nothing changes.
local stream, id = KEYS[1], ARGV[1]
if not held(stream, id, ARGV[2], ARGV[3]) then return 0 end
local counted = recounted(tonumber(ARGV[3]), tonumber(ARGV[4]))
redis.call('XCLAIM', stream, GROUP, ARGV[2], 0, id, 'RETRYCOUNT', counted, 'JUSTID')
return counted
