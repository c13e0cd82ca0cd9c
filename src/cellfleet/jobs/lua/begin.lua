-- Make a job known. ARGV: id, spec, priority, max_attempts. Returns the spec that is known and how many tasks are
-- told, and how many there are once that is known.
local job = ARGV[1]
if redis.call('EXISTS', JOB(job)) == 0 then
  local time = now()
  redis.call('HSET', JOB(job), 'spec', ARGV[2], 'priority', ARGV[3], 'max_attempts', ARGV[4], 'state', 'queued',
    'submitted_ms', time, 'told', 0, 'queued', 0, 'leased', 0, 'done', 0, 'dead', 0, 'dropped', 0)
  redis.call('ZADD', JOBS, time, job)
end
return redis.call('HMGET', JOB(job), 'spec', 'told', 'total')
