-- Remove all that is known of a job that has ended. ARGV: id. Returns 1; its state when it has not ended.
local job = ARGV[1]
local state, owner = unpack(redis.call('HMGET', JOB(job), 'state', 'owner'))
if not state then return 1 end
if not FINAL[state] then return state end
redis.call('UNLINK', JOB(job), DEAD(job), PARKED(job))
for _, list in ipairs({JOBS, JOBS_OF(owner), ENDED}) do redis.call('ZREM', list, job) end
return 1
