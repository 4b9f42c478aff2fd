-- Reads of a key with the server's time in microseconds, which says what of it
-- has ended. ARGV: the command and what follows the key.
local t = redis.call('TIME')
local command = table.remove(ARGV, 1)
return {t[1] * 1000000 + t[2], redis.call(command, KEYS[1], unpack(ARGV))}
