-- Finds what a shelf has left of entries that have gone: ends in the past, ends
-- without a row, rows without an end; and a wrong count of bytes. With ARGV[1]
-- "1" it mends that. Rows that have ended a moment ago are no leftovers unless
-- they are mended.
-- KEYS: the rows, their ends, how many bytes they take.
local rows, ends, bytes = KEYS[1], KEYS[2], KEYS[3]
local mend = ARGV[1] == '1'
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found, used = 0, 0
local known = {}
local list = redis.call('ZRANGE', ends, 0, -1, 'WITHSCORES')
for i = 1, #list, 2 do
  local name, over = list[i], tonumber(list[i + 1]) <= now
  known[name] = true
  if redis.call('HEXISTS', rows, name) == 0 or (over and mend) then
    found = found + 1
    if mend then
      redis.call('ZREM', ends, name)
      redis.call('HDEL', rows, name)
    end
  end
end
for _, name in ipairs(redis.call('HKEYS', rows)) do
  if not known[name] then
    found = found + 1
    if mend then redis.call('HDEL', rows, name) end
  end
  used = used + redis.call('HSTRLEN', rows, name) + (redis.call('HEXISTS', rows, name) == 1 and #name or 0)
end
if used ~= tonumber(redis.call('GET', bytes) or '0') then
  found = found + 1
  if mend then
    if used == 0 then
      redis.call('DEL', rows, ends, bytes)
    else
      redis.call('SET', bytes, used, 'KEEPTTL')
      local last = redis.call('PEXPIRETIME', rows)
      if last > 0 then redis.call('PEXPIREAT', bytes, string.format('%.0f', last)) end
    end
  end
end
return found
