-- Add the next tasks of a job. ARGV: id, number of the first task, how many new images they have, then each task as
-- JSON, '' for one that is done. Nothing is added unless the first is the next one: so it does no harm to say it twice.
-- Returns how many tasks are told; -1 when nothing more is to be told, because the job has ended; -2 when the job is
-- not known.
local job, first = ARGV[1], ARGV[2]
local state, told = unpack(redis.call('HMGET', JOB(job), 'state', 'told'))
if not state then return -2 end
if FINAL[state] then return -1 end
if told ~= first then return tonumber(told) end
local done = 0
for i = 4, #ARGV do
  if ARGV[i] == '' then done = done + 1 else add(job, number(first + i - 4), ARGV[i]) end
end
redis.call('HINCRBY', JOB(job), 'queued', #ARGV - 3 - done)
redis.call('HINCRBY', JOB(job), 'done', done)
redis.call('HINCRBY', JOB(job), 'told_images', ARGV[3])
return redis.call('HINCRBY', JOB(job), 'told', #ARGV - 3)
