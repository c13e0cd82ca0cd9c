-- Queue dead tasks again, their attempts forgotten, and count no more what they did. ARGV: id, then numbers of tasks.
-- Returns how many.
local job, again = ARGV[1], 0
local state = redis.call('HGET', JOB(job), 'state')
if not state or state == 'cancelled' then return 0 end
for i = 2, #ARGV do
  local why = redis.call('HGET', DEAD(job), ARGV[i])
  if why then
    why = cjson.decode(why)
    add(job, ARGV[i], why.task)
    sum(job, why.tally, -1)
    redis.call('HDEL', DEAD(job), ARGV[i])
    count(job, 'dead', 'queued')
    again = again + 1
  end
end
if again > 0 and state == 'failed' then move(job, 'queued') end
return again
