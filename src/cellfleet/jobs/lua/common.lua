-- What all scripts share. Before it stand, made from the tables in Python: NEXT_JOB, NEXT_TASK, FINAL, GROUP, RETURNED,
-- SWEPT, JOBS and the functions STREAM, JOB, DEAD, PARKED. Scripts are atomic. Names of keys follow from the entries
-- that a script meets, so they cannot be declared beforehand: one server, no Redis Cluster.

local function number(value) return string.format('%.0f', value) end -- Lua would write 1.7e+12

local function now()
  local time = redis.call('TIME')
  return number(time[1] * 1000 + math.floor(time[2] / 1000))
end

-- Change the state of a job if the table allows it; say whether it has that state now.
local function move(job, to)
  local from = redis.call('HGET', JOB(job), 'state')
  if from == to then return true end
  if not from or not NEXT_JOB[from][to] then return false end
  redis.call('HSET', JOB(job), 'state', to)
  if FINAL[to] then redis.call('HSET', JOB(job), 'finished_ms', now()) end
  if FINAL[from] then redis.call('HDEL', JOB(job), 'finished_ms') end
  return true
end

-- Count one task of a job from one state to another.
local function count(job, from, to)
  assert(to == 'dropped' or NEXT_TASK[from][to], from .. ' to ' .. to)
  redis.call('HINCRBY', JOB(job), from, -1)
  redis.call('HINCRBY', JOB(job), to, 1)
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
-- when an attempt is released and shall not count, it is taken off, and RELEASED is added.
local RELEASED = 1000000
local function attempts_of(deliveries) return deliveries % RELEASED end

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

-- Put a leased task on the dead list.
local function bury(stream, id, worker, attempts, code, reason)
  local job, task_number, task = read(stream, id)
  local why = {task = task, attempts = attempts, worker = worker, code = code, reason = reason, at_ms = tonumber(now())}
  redis.call('HSET', DEAD(job), task_number, cjson.encode(why))
  remove(stream, id)
  count(job, 'leased', 'dead')
  finish(job)
end

-- A task of a job that is cancelled or forgotten is not run.
local function drop(stream, id, job, from)
  remove(stream, id)
  if redis.call('EXISTS', JOB(job)) == 1 then count(job, from, 'dropped') end
end
