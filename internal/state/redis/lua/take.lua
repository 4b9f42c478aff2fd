-- Counts several claims in one step, or none of them.
-- KEYS: the counter of each claim.
-- ARGV[1]: for each claim n, max, window (6 bytes each) and whether it is soft.
-- ARGV[2]: "1" only asks.
-- ARGV[3]: the time in microseconds, which tests set; else that of this server.
-- Answers: the time (7 bytes), and for each claim whether it fits, what is
-- used (6 bytes) and when it ends (7).
--
-- A counter is max, window and the sum (6 bytes each), and at most 64 buckets,
-- each a time (7) and a count (6), in order of time. See counter.go.
local read, pack, sub, floor = struct.unpack, struct.pack, string.sub, math.floor
local HEAD, STEP, MOST, SLOTS = 18, 13, 64, 60
local now
if ARGV[3] == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
else
  now = tonumber(ARGV[3])
end

-- A bucket in the future, because the clock went back, counts as of now.
local function clamp(kept)
  local out = {}
  for j = 1, #kept, STEP do
    local at, k = read('>I7I6', kept, j)
    out[#out + 1] = pack('>I7I6', math.min(at, now), k)
  end
  return table.concat(out)
end

-- What is left of a counter begins at from. One in the future is to be written as
-- it is now: else one that is full would be so until that time.
local function open(s)
  local size = s and #s - HEAD or 0
  if size <= 0 or size % STEP ~= 0 then
    return {s = '', from = 1, used = 0, last = 0}
  end
  local c = {s = s, from = HEAD + 1, used = read('>I6', s, 13), last = read('>I7', s, #s - STEP + 1)}
  if c.last > now then
    c.s, c.last = sub(s, 1, HEAD) .. clamp(sub(s, HEAD + 1)), now
    c.back = floor(read('>I6', s, 7) / 1000) + 1
  end
  return c
end

-- Returns whether n fits, what is used, when it ends, and where what is still
-- in the window begins.
local function look(c, n, max, window)
  local s, i, used, stop = c.s, c.from, c.used, #c.s
  while i <= stop do
    local at, k = read('>I7I6', s, i)
    if now - at < window then break end
    used = used - k
    i = i + STEP
  end
  local ends = now
  if i <= stop then ends = c.last + window end
  if used <= max - n then return true, used, ends, i end
  if n > max then return false, used, ends, i end
  local left = used
  for j = i, stop, STEP do
    local at, k = read('>I7I6', s, j)
    left = left - k
    if left <= max - n then
      return false, used, at + window, i
    end
  end
  return false, used, ends, i
end

-- Neighbours in the same sixtieth of the window are joined, at the later time.
local function merge(kept, window)
  local width = math.max(floor(window / SLOTS), 1)
  local out = {}
  local at, k = read('>I7I6', kept, 1)
  for j = STEP + 1, #kept, STEP do
    local a, b = read('>I7I6', kept, j)
    if floor(at / width) == floor(a / width) then
      at, k = a, k + b
    else
      out[#out + 1] = pack('>I7I6', at, k)
      at, k = a, b
    end
  end
  out[#out + 1] = pack('>I7I6', at, k)
  return table.concat(out)
end

-- Adds n, which fits; what is in the window begins at i and is used.
local function grant(c, i, used, n, max, window)
  local kept = i <= #c.s and sub(c.s, i) or ''
  local add = n
  if #kept > 0 and c.last == now then
    add = n + read('>I6', kept, #kept - STEP + 8)
    kept = sub(kept, 1, #kept - STEP)
  elseif #kept >= MOST * STEP then
    kept = merge(kept, window)
  end
  c.used, c.last, c.from = used + n, now, HEAD + 1
  c.s = pack('>I6I6I6', max, window, c.used) .. kept .. pack('>I7I6', now, add)
  c.life = floor(window / 1000) + 1
end

local found = redis.call('MGET', unpack(KEYS))
local counters, claims, all = {}, {}, true
local pos = 1
for i = 1, #KEYS do
  local c = counters[KEYS[i]]
  if not c then
    c = open(found[i])
    counters[KEYS[i]] = c
  end
  local n, max, window, soft
  n, max, window, soft, pos = read('>I6I6I6B', ARGV[1], pos)
  local ok, used, ends, from = look(c, n, max, window)
  all = all and (ok or soft == 1)
  claims[i] = {n, max, window, ok, used, ends, from}
end

if all and ARGV[2] ~= '1' then
  for i = 1, #KEYS do
    local q, c = claims[i], counters[KEYS[i]]
    if q[4] and q[1] > 0 then
      if c.life then -- counted a moment ago for another claim
        local used
        q[4], used, _, q[7] = look(c, q[1], q[2], q[3])
        if q[4] then q[5] = used end
      end
      if q[4] then
        grant(c, q[7], q[5], q[1], q[2], q[3])
        q[5], q[6] = c.used, now + q[3]
        redis.call('SET', KEYS[i], c.s, 'PX', c.life)
      end
    end
  end
end

if ARGV[2] ~= '1' then
  for key, c in pairs(counters) do
    if c.back and not c.life then redis.call('SET', key, c.s, 'PX', c.back) end
  end
end

local out = {pack('>I7', now)}
for i = 1, #KEYS do
  local q = claims[i]
  out[i + 1] = pack('>BI6I7', q[4] and 1 or 0, q[5], q[6])
end
return table.concat(out)
