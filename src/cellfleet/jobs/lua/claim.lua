-- Lease a task. KEYS: streams, most urgent first. ARGV: worker, lease_ms, how many entries of stopped jobs to pass by,
-- code and reason for tasks whose last attempt ended without a word, attempt from which none counts yet (0: no such).
-- Returns {'task', stream, id, JSON, attempt, deliveries}; {'more'} when too many had to be passed by; {'none', last id
-- of each stream} when there is nothing: who waits for entries after these misses none.
local worker, lease_ms, patience = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local uncounted_from = tonumber(ARGV[6])
local sweeping = redis.call('EXISTS', SWEPT) == 0

-- An entry whose lease has ended, or that was given back: {id, owner, idle_ms, deliveries}.
local function overdue(stream)
  return sweeping and redis.call('XPENDING', stream, GROUP, 'IDLE', lease_ms, '-', '+', 1)[1] or nil
end

local function fresh(stream)
  local got = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', 1, 'STREAMS', stream, '>')
  return got and got[1][2][1] or nil
end

-- Lease the task of an entry, unless its job is stopped or the task has had its attempts.
local function take(stream, id, owner, deliveries)
  local attempts = attempts_of(deliveries)
  local job, _, task = read(stream, id)
  local from = owner and owner ~= RETURNED and 'leased' or 'queued'
  local state, most = unpack(redis.call('HMGET', JOB(job), 'state', 'max_attempts'))
  if not state or state == 'cancelled' then return drop(stream, id, job, from) end
  if from == 'leased' and attempts >= tonumber(most) then
    return bury(stream, id, owner, attempts, ARGV[4], ARGV[5], '{}')
  end
  if state == 'paused' then
    remove(stream, id)
    redis.call('RPUSH', PARKED(job), task)
    if from == 'leased' then count(job, 'leased', 'queued') end
    return nil
  end
  local counted = deliveries + 1
  if owner then
    if uncounted_from > 0 and attempts + 1 >= uncounted_from then counted = recounted(deliveries, attempts) end
    redis.call('XCLAIM', stream, GROUP, worker, 0, id, 'RETRYCOUNT', counted, 'JUSTID')
  end
  if from == 'queued' then count(job, 'queued', 'leased') end
  redis.call('HSETNX', JOB(job), 'started_ms', now())
  move(job, 'running')
  return {'task', stream, id, task, attempts + 1, counted}
end

local last = {'none'}
for _, stream in ipairs(KEYS) do
  while true do
    local taken
    local old = overdue(stream)
    local new = not old and fresh(stream)
    if old then taken = take(stream, old[1], old[2], old[4]) elseif new then taken = take(stream, new[1], nil, 0) end
    if taken then return taken end
    if not old and not new then break end
    patience = patience - 1
    if patience == 0 then return {'more'} end
  end
  last[#last + 1] = redis.call('XINFO', 'STREAM', stream)[8] -- last-generated-id
end
if sweeping then redis.call('SET', SWEPT, 1, 'PX', 250) end
return last
