-- Return a page of jobs and their times, by turns. KEYS: list of jobs. ARGV: command, begin, end, how many at most.
-- A script, because clients make various things of such an answer.
return redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
