-- A leased task is done. KEYS: stream. ARGV: id, worker, deliveries, tally as JSON.
-- Returns 1; 0 when the lease is no longer the worker's: then nothing changes.
local stream, id = KEYS[1], ARGV[1]
if not held(stream, id, ARGV[2], ARGV[3]) then return 0 end
local job = read(stream, id)
remove(stream, id)
if redis.call('EXISTS', JOB(job)) == 0 then return 1 end
count(job, 'leased', 'done')
sum(job, ARGV[4], 1)
finish(job)
return 1
