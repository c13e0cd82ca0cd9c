-- End a job for which there is nothing to do, or take that back. ARGV: id, 'failed' or 'queued'. Returns 1; the present
-- state when the table forbids it, or tasks are told.
local job, to = ARGV[1], ARGV[2]
local state, told, total = unpack(redis.call('HMGET', JOB(job), 'state', 'told', 'total'))
local back = state == 'failed' or state == 'queued'
if told == '0' and not total and (to == 'failed' or back) and move(job, to) then return 1 end
return state
