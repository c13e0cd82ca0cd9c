-- Count bytes of a user. ARGV: user, how many more (fewer, if negative), how many at most or ''. Returns 1; 0 when they
-- would be too many: then nothing changes.
local change, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local used = tonumber(redis.call('HGET', USED, ARGV[1]) or 0) + change
if change > 0 and most and used > most then return 0 end
if used > 0 then redis.call('HSET', USED, ARGV[1], number(used)) else redis.call('HDEL', USED, ARGV[1]) end
return 1
