-- Adds what was counted elsewhere to several counters, once for each id.
-- KEYS[1]: that it was done. KEYS[2..]: the counters.
-- ARGV[1]: for each counter max, window (6 bytes each), how many grants (2), and
-- of each how long ago in microseconds (7) and how many (6), the oldest first.
-- ARGV[2]: how long to remember that it was done, in milliseconds.
-- ARGV[3]: the time, which tests set.
local read, pack, floor = struct.unpack, struct.pack, math.floor
local HEAD, STEP, MOST, SLOTS, MAXCOUNT = 18, 13, 64, 60, 1099511627776
if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[2]) == false then return 0 end
local now
if ARGV[3] == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
else
  now = tonumber(ARGV[3])
end

local function stored(key, window)
  local s, list = redis.call('GET', key), {}
  if not s or (#s - HEAD) % STEP ~= 0 then return list end
  for i = HEAD + 1, #s, STEP do
    local at, n = read('>I7I6', s, i)
    if now - at < window then list[#list + 1] = {math.min(at, now), n} end
  end
  return list
end

-- Joins two lists in order of time.
local function both(a, b)
  local out, i, j = {}, 1, 1
  while i <= #a or j <= #b do
    local from
    if j > #b or (i <= #a and a[i][1] <= b[j][1]) then
      from = a[i]
      i = i + 1
    else
      from = b[j]
      j = j + 1
    end
    local last = out[#out]
    if last and last[1] == from[1] then
      last[2] = last[2] + from[2]
    else
      out[#out + 1] = {from[1], from[2]}
    end
  end
  return out
end

local function joined(list, window)
  if #list <= MOST then return list end
  local width, out = math.max(floor(window / SLOTS), 1), {}
  for _, b in ipairs(list) do
    local last = out[#out]
    if last and floor(last[1] / width) == floor(b[1] / width) then
      last[1], last[2] = b[1], last[2] + b[2]
    else
      out[#out + 1] = b
    end
  end
  return out
end

local pos = 1
for k = 2, #KEYS do
  local max, window, count
  max, window, count, pos = read('>I6I6I2', ARGV[1], pos)
  local new = {}
  for _ = 1, count do
    local ago, n
    ago, n, pos = read('>I7I6', ARGV[1], pos)
    if ago < window then new[#new + 1] = {now - ago, n} end
  end
  local list = joined(both(stored(KEYS[k], window), new), window)
  if #new > 0 then
    local used, out = 0, {''}
    for _, b in ipairs(list) do
      local n = math.min(b[2], MAXCOUNT) -- more than any max
      used = used + n
      out[#out + 1] = pack('>I7I6', b[1], n)
    end
    out[1] = pack('>I6I6I6', max, window, used)
    redis.call('SET', KEYS[k], table.concat(out), 'PX', floor((list[#list][1] + window - now) / 1000) + 1)
  end
end
return 1
