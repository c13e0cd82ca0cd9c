-- What all scripts share. Before it stand, made from the tables in Python: NEXT_JOB, NEXT_TASK, FINAL, GROUP, RETURNED,
-- the keys of which there is one, and a function for each kind of which there are many. Scripts are atomic. Names of
-- keys follow from the entries that a script meets and cannot be declared beforehand: one server, no Redis Cluster.

local function number(value) return string.format('%.0f', value) end -- Lua would write 1.7e+12

local function now()
  local time = redis.call('TIME')
  return number(time[1] * 1000 + math.floor(time[2] / 1000))
end

-- Change the state of a job if the table allows it; say whether it has that state now.
local function move(job, to)
  local from, owner = unpack(redis.call('HMGET', JOB(job), 'state', 'owner'))
  if from == to then return true end
  if not from or not NEXT_JOB[from][to] then return false end
  redis.call('HSET', JOB(job), 'state', to)
  if FINAL[to] then
    redis.call('HSET', JOB(job), 'finished_ms', now())
    redis.call('SREM', RUNNING(owner), job)
    redis.call('ZADD', ENDED, now(), job)
  elseif FINAL[from] then
    redis.call('HDEL', JOB(job), 'finished_ms')
    redis.call('SADD', RUNNING(owner), job)
    redis.call('ZREM', ENDED, job)
  end
  return true
end

-- Count one task of a job from one state to another. The last one that ends after its job was cancelled puts the job
-- on the list of those that ended once more: there may be more to sum up.
local function count(job, from, to)
  assert(to == 'dropped' or NEXT_TASK[from][to], from .. ' to ' .. to)
  local left = redis.call('HINCRBY', JOB(job), from, -1)
  redis.call('HINCRBY', JOB(job), to, 1)
  if from == 'leased' and left == 0 and redis.call('HGET', JOB(job), 'state') == 'cancelled' then
    redis.call('ZADD', ENDED, now(), job)
  end
end

-- Add what a task did, as JSON, to the sums of its job; with -1 for a sign, take it off.
local function sum(job, tally, sign)
  for name, value in pairs(cjson.decode(tally)) do
    if value ~= 0 then redis.call('HINCRBY', JOB(job), name, number(sign * value)) end
  end
end

-- End the job if nothing of it is left to do.
local function finish(job)
  local left = redis.call('HMGET', JOB(job), 'total', 'queued', 'leased', 'dead')
  if left[1] and left[2] == '0' and left[3] == '0' then move(job, left[4] == '0' and 'done' or 'failed') end
end

-- Take an entry out of its stream; say whether it was there as delivered.
local function remove(stream, id)
  redis.call('XDEL', stream, id)
  return redis.call('XACK', stream, GROUP, id) == 1
end

-- Redis counts how often an entry was delivered. Our count never falls, so it tells one lease from every other:
-- when another number of attempts shall count from now on, that many are put above the next multiple of RELEASED.
local RELEASED = 1000000
local function attempts_of(deliveries) return deliveries % RELEASED end
local function recounted(deliveries, attempts) return (math.floor(deliveries / RELEASED) + 1) * RELEASED + attempts end

-- Say whether this very lease still holds.
local function held(stream, id, worker, deliveries)
  local pending = redis.call('XPENDING', stream, GROUP, id, id, 1)[1]
  return pending ~= nil and pending[2] == worker and pending[4] == tonumber(deliveries)
end

-- Return job, number and JSON of the task of an entry.
local function read(stream, id)
  local fields = redis.call('XRANGE', stream, id, id)[1][2]
  return fields[2], fields[4], fields[6]
end

local function add(job, task_number, task)
  local stream = STREAM(redis.call('HGET', JOB(job), 'priority'))
  redis.call('XADD', stream, '*', 'job', job, 'number', task_number, 'task', task)
end

-- Put a leased task on the dead list, and count what it did all the same.
local function bury(stream, id, worker, attempts, code, reason, tally)
  local job, task_number, task = read(stream, id)
  local why = {task = task, attempts = attempts, worker = worker, code = code, reason = reason, tally = tally,
    at_ms = tonumber(now())}
  redis.call('HSET', DEAD(job), task_number, cjson.encode(why))
  remove(stream, id)
  count(job, 'leased', 'dead')
  sum(job, tally, 1)
  finish(job)
end

-- A task of a job that is cancelled or forgotten is not run.
local function drop(stream, id, job, from)
  remove(stream, id)
  if redis.call('EXISTS', JOB(job)) == 1 then count(job, from, 'dropped') end
end
