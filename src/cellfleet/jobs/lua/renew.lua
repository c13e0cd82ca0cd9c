-- Begin the time of a lease anew. KEYS: stream. ARGV: id, worker, deliveries. Returns 'held', 'lost' or 'cancelled'.
local stream, id = KEYS[1], ARGV[1]
if not held(stream, id, ARGV[2], ARGV[3]) then return 'lost' end
local state = redis.call('HGET', JOB(read(stream, id)), 'state')
if not state or state == 'cancelled' then return 'cancelled' end
redis.call('XCLAIM', stream, GROUP, ARGV[2], 0, id, 'JUSTID') -- JUSTID: counts no attempt
return 'held'
