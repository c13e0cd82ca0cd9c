-- Cancel a job. ARGV: id. Its leased tasks are told at their next renewal, its queued ones dropped when a claim meets
-- them. Returns 1; the present state when the table forbids it.
local job = ARGV[1]
if not move(job, 'cancelled') then return redis.call('HGET', JOB(job), 'state') end
local parked = redis.call('LLEN', PARKED(job))
redis.call('UNLINK', PARKED(job))
redis.call('HINCRBY', JOB(job), 'queued', 0 - parked) -- Lua writes -parked as "-0"
redis.call('HINCRBY', JOB(job), 'dropped', parked)
return 1
