-- All tasks of a job are told. ARGV: id, how many. Returns how many are told indeed.
local told = redis.call('HGET', JOB(ARGV[1]), 'told')
if told == ARGV[2] then
  redis.call('HSET', JOB(ARGV[1]), 'total', told)
  finish(ARGV[1])
end
return told
