-- Count what is in the streams. KEYS: streams. Returns for each how many are queued and how many are leased.
local depths = {}
for i, stream in ipairs(KEYS) do
  local leased = 0
  for _, consumer in ipairs(redis.call('XPENDING', stream, GROUP)[4] or {}) do
    if consumer[1] ~= RETURNED then leased = leased + tonumber(consumer[2]) end
  end
  depths[i] = {redis.call('XLEN', stream) - leased, leased}
end
return depths
