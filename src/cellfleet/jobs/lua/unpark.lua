-- Queue tasks again that were put aside while the job was paused. ARGV: id, how many at most. Returns how many.
local job = ARGV[1]
if redis.call('HGET', JOB(job), 'state') == 'paused' then return 0 end
local tasks = redis.call('LPOP', PARKED(job), ARGV[2]) or {}
for _, task in ipairs(tasks) do add(job, number(cjson.decode(task).number), task) end
return #tasks
