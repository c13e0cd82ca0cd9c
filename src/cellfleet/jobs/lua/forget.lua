-- Remove all that is known of a job that has ended. ARGV: id. Returns 1; its state when it has not ended.
local job = ARGV[1]
local state = redis.call('HGET', JOB(job), 'state')
if state and not FINAL[state] then return state end
redis.call('UNLINK', JOB(job), DEAD(job), PARKED(job))
redis.call('ZREM', JOBS, job)
return 1
