-- Change the state of a job. ARGV: id, state. Returns 1; the present state when the table forbids it.
if move(ARGV[1], ARGV[2]) then return 1 end
return redis.call('HGET', JOB(ARGV[1]), 'state')
