-- Remove consumers that hold no lease. KEYS: streams. ARGV: worker, or '' for all that have been idle for idle_ms;
-- idle_ms.
-- A consumer with leases stays: its leases must end first, or their tasks would be lost.
for _, stream in ipairs(KEYS) do
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, GROUP)) do
    local name, pending, idle = consumer[2], consumer[4], consumer[6]
    if pending == 0 and (name == ARGV[1] or ARGV[1] == '' and idle >= tonumber(ARGV[2])) then
      redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, name)
    end
  end
end
