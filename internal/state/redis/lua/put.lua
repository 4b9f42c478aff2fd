-- Puts an entry and tells other hosts in the same step, so that they hear of
-- changes to one key in the order in which they were made.
-- KEYS[1]: the entry. ARGV: its life in milliseconds, or 0 to delete it; the
-- row; the channel; the head of the message.
if ARGV[1] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
end
redis.call('PUBLISH', ARGV[3], ARGV[4] .. ARGV[2])
return 1
