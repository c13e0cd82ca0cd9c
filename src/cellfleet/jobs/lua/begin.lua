-- Make a job known. ARGV: id, spec, owner, priority, max_attempts, how many jobs of the owner may run or ''.
-- Returns the spec that is known, how many tasks are told, how many there are once that is known, and the state;
-- {'', n} when n jobs of the owner run and that is as many as may.
local job, owner, most = ARGV[1], ARGV[3], tonumber(ARGV[6])
if redis.call('EXISTS', JOB(job)) == 0 then
  local running = redis.call('SCARD', RUNNING(owner))
  if most and running >= most then return {'', running} end
  -- No two jobs have the same time, so that a list of them can be read on from any of them.
  local newest = redis.call('ZREVRANGE', JOBS, 0, 0, 'WITHSCORES')[2]
  local time = number(math.max(tonumber(now()), (tonumber(newest) or 0) + 1))
  redis.call('HSET', JOB(job), 'spec', ARGV[2], 'owner', owner, 'priority', ARGV[4], 'max_attempts', ARGV[5],
    'state', 'queued', 'submitted_ms', time, 'told', 0, 'told_images', 0,
    'queued', 0, 'leased', 0, 'done', 0, 'dead', 0, 'dropped', 0)
  redis.call('ZADD', JOBS, time, job)
  redis.call('ZADD', JOBS_OF(owner), time, job)
  redis.call('SADD', RUNNING(owner), job)
end
return redis.call('HMGET', JOB(job), 'spec', 'told', 'total', 'state')
