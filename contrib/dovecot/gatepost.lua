-- Accounts of Gatepost for a Dovecot that keeps its own auth process: the
-- replacement for "driver = dict", which Dovecot 2.4 no longer has. It asks
-- Gatepost's dict socket and hands the answers on. Dovecot checks the password.
--
-- It needs luasocket (Debian: lua-socket). README.md says how to switch it on.

local unix = require "socket.unix"

local socket_path = "/run/gatepost/dict"
local patience = 10 -- seconds; Dovecot's worker is blocked meanwhile

-- Dovecot 2.4 has other names for some fields, and calls script_init with a
-- table, which 2.3 does not.
local is_24 = false

function script_init(args)
  if type(args) == "table" then
    is_24 = true
    socket_path = args.socket or socket_path
  end
  return 0
end

function script_deinit()
end

-- One connection is kept, because each worker asks one question at a time.
local conn

local function hang_up()
  if conn then
    conn:close()
    conn = nil
  end
end

local function connect()
  if conn then
    return true
  end
  -- Newer luasocket has a table here, older a function.
  local c = type(unix) == "table" and unix.stream() or unix()
  c:settimeout(patience)
  local ok, err = c:connect(socket_path)
  if not ok then
    c:close()
    return nil, err
  end
  conn = c
  -- Version 3.2 of the dict protocol: type of values, user (none), name.
  return conn:send("H3\t2\t0\t\tgatepost\n")
end

local escapes = { ["\0"] = "\0010", ["\1"] = "\0011", ["\t"] = "\1t", ["\r"] = "\1r", ["\n"] = "\1n" }
local unescapes = { ["0"] = "\0", ["1"] = "\1", t = "\t", r = "\r", n = "\n" }

local function escape(s)
  return (s:gsub("[%c\0]", escapes))
end

local function unescape(s)
  return (s:gsub("\1(.)", unescapes))
end

-- ask sends one line and returns the lines of the answer: one, or with rows all
-- up to the empty line that ends them. A kept connection may have been closed
-- since, so that a second try is made with a new one.
local function ask(line, rows)
  local err
  for _ = 1, 2 do
    local kept = conn ~= nil
    local ok
    ok, err = connect()
    if ok then
      ok, err = conn:send(line .. "\n")
    end
    local lines = {}
    while ok do
      local got
      got, err = conn:receive("*l")
      if not got then
        break
      end
      if got == "" then
        return lines
      end
      lines[#lines + 1] = got
      if not rows or got:sub(1, 1) ~= "O" then
        return lines
      end
    end
    hang_up()
    if not kept then
      break
    end
  end
  return nil, err
end

local plain = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- json_string reads the string whose opening quote is at position at, and
-- returns it and the position behind it.
local function json_string(s, at)
  local out = {}
  at = at + 1
  while true do
    local stop = s:find('["\\]', at)
    if not stop then
      return nil
    end
    out[#out + 1] = s:sub(at, stop - 1)
    if s:sub(stop, stop) == '"' then
      return table.concat(out), stop + 1
    end
    local letter = s:sub(stop + 1, stop + 1)
    at = stop + 2
    if letter == "u" then
      local code = tonumber(s:sub(at, at + 3), 16)
      if not code then
        return nil
      end
      out[#out + 1] = utf8.char(code)
      at = at + 4
    else
      out[#out + 1] = plain[letter] or letter
    end
  end
end

-- json_object reads Gatepost's answer: one object of strings and numbers. All
-- values become strings, as Dovecot takes them.
local function json_object(s)
  local out = {}
  local at = 2
  if s == "{}" then
    return out
  end
  while true do
    local key, value
    key, at = json_string(s, at)
    if not key or s:sub(at, at) ~= ":" then
      return nil
    end
    at = at + 1
    if s:sub(at, at) == '"' then
      value, at = json_string(s, at)
    else
      value = s:match("^%d+", at)
      at = value and at + #value
    end
    if not value then
      return nil
    end
    out[key] = value
    local after = s:sub(at, at)
    at = at + 1
    if after == "}" then
      return at == #s + 1 and out or nil
    end
    if after ~= "," then
      return nil
    end
  end
end

-- lookup returns a table of fields, false for nobody, or nil and a reason.
local function lookup(req, key)
  local lines, err = ask("L" .. escape(key) .. "\t" .. escape(req.user))
  if not lines or not lines[1] then
    return nil, err or "no answer"
  end
  local kind, rest = lines[1]:sub(1, 1), lines[1]:sub(2)
  if kind == "N" then
    return false
  end
  -- Time stamps may follow behind a tab.
  local fields = kind == "O" and json_object(unescape(rest:match("^[^\t]*")))
  if not fields then
    hang_up()
    return nil, kind == "F" and rest or "an answer of another form"
  end
  return fields
end

local known = { imap = true, pop3 = true, sieve = true, smtp = true, submission = true, lmtp = true, doveadm = true }

-- service is the protocol of a request: "protocol" in 2.4, "service" before.
local function service(req)
  local word = is_24 and req.protocol or not is_24 and req.service
  return known[word] and word .. "/" or ""
end

function auth_passdb_lookup(req)
  local fields, err = lookup(req, "shared/passdb/" .. service(req) .. req.user)
  if fields == nil then
    req:log_error("gatepost: " .. tostring(err))
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "gatepost is away"
  elseif not fields then
    return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, "no such user"
  end
  return dovecot.auth.PASSDB_RESULT_OK, fields
end

function auth_userdb_lookup(req)
  local fields, err = lookup(req, "shared/userdb/" .. req.user)
  if fields == nil then
    req:log_error("gatepost: " .. tostring(err))
    return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, "gatepost is away"
  elseif not fields then
    return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, "no such user"
  end
  if is_24 then
    -- mail_driver and mail_path stand in dovecot.conf there.
    fields.mail = nil
    local bytes = fields.quota_rule and fields.quota_rule:match("^%*:bytes=(%d+)$")
    fields.quota_rule = nil
    if bytes then
      fields.quota_storage_size = bytes .. "B"
    end
  end
  return dovecot.auth.USERDB_RESULT_OK, fields
end

function auth_userdb_iterate()
  local users = {}
  for _, row in ipairs(ask("I0\t0\tshared/userdb/\t*", true) or {}) do
    users[#users + 1] = unescape(row:match("\t(.*)$") or "")
  end
  return users
end
