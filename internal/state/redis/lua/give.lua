-- Takes back ARGV[1] of what was counted at ARGV[2] (microseconds), or what is
-- left of it: the first bucket that is not older holds it. What was counted a
-- window ago is not there any more. ARGV[3]: the time, which tests set.
local HEAD, STEP = 18, 13
local s = redis.call('GET', KEYS[1])
if not s or #s <= HEAD or (#s - HEAD) % STEP ~= 0 then return 0 end
local n, when, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
if now - when >= struct.unpack('>I6', s, 7) then return 0 end
for i = HEAD + 1, #s, STEP do
  local at, k = struct.unpack('>I7I6', s, i)
  if at >= when then
    local back = math.min(n, k)
    local bucket = ''
    if k > back then bucket = struct.pack('>I7I6', at, k - back) end
    local rest = string.sub(s, HEAD + 1, i - 1) .. bucket .. string.sub(s, i + STEP)
    if rest == '' then return redis.call('DEL', KEYS[1]) end
    local used = struct.unpack('>I6', s, 13) - back
    redis.call('SET', KEYS[1], string.sub(s, 1, 12) .. struct.pack('>I6', used) .. rest, 'KEEPTTL')
    return 1
  end
end
return 0
