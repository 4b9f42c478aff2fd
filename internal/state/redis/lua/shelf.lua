-- Puts an entry on its shelf, or deletes it, and tells other hosts.
-- KEYS: the rows, their ends, how many bytes they take.
-- ARGV: the field; its life in milliseconds, or 0 to delete it; the row; how
-- many entries and bytes the shelf holds; the channel, or nothing if others are
-- not told; the head of the message.
-- Answers how many others went before their time to make room.
local rows, ends, bytes = KEYS[1], KEYS[2], KEYS[3]
local field, life = ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function drop(name)
  local size = redis.call('HSTRLEN', rows, name)
  if redis.call('HDEL', rows, name) == 1 then
    redis.call('DECRBY', bytes, size + #name)
  end
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100)) do
  drop(name)
  redis.call('ZREM', ends, name)
end
drop(field)
redis.call('ZREM', ends, field)
local early = 0
if life > 0 then
  local row = struct.pack('>I8', now + life) .. ARGV[3]
  redis.call('HSET', rows, field, row)
  redis.call('ZADD', ends, now + life, field)
  local used = redis.call('INCRBY', bytes, #row + #field)
  while redis.call('ZCARD', ends) > tonumber(ARGV[4]) or used > tonumber(ARGV[5]) do
    local first = redis.call('ZRANGE', ends, 0, 0)[1]
    if not first or first == field and redis.call('ZCARD', ends) == 1 then
      -- Nothing else is there, so the count was wrong: a key was lost.
      redis.call('SET', bytes, #row + #field)
      break
    end
    drop(first)
    redis.call('ZREM', ends, first)
    used = tonumber(redis.call('GET', bytes))
    early = early + 1
  end
end
local last = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')[2]
if last then
  last = string.format('%.0f', last)
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, last) end
else
  redis.call('DEL', rows, ends, bytes)
end
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7] .. ARGV[3]) end
return early
