-- Puts an entry into its group, or deletes it.
-- KEYS[1]: the group. ARGV: the field; its life in milliseconds, or 0 to delete
-- it; the row.
if ARGV[2] == '0' then return redis.call('HDEL', KEYS[1], ARGV[1]) end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ends = now + ARGV[2]
if redis.call('HLEN', KEYS[1]) >= 16 then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if #all[i + 1] < 8 or struct.unpack('>I8', all[i + 1]) <= now then
      redis.call('HDEL', KEYS[1], all[i])
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], struct.pack('>I8', ends) .. ARGV[3])
if redis.call('PEXPIRETIME', KEYS[1]) < ends then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends))
end
return 1
