-- time is in microseconds since 1970; client has 16 bytes, IPv4 is mapped;
-- record is the whole of it in JSON, the other columns are what is searched by.
CREATE TABLE records (
	id         INTEGER PRIMARY KEY,
	time       INTEGER NOT NULL,
	queue_id   TEXT NOT NULL,
	message_id TEXT NOT NULL,
	client     BLOB,
	record     TEXT NOT NULL
) STRICT;
CREATE INDEX records_queue_id ON records (queue_id) WHERE queue_id <> '';
CREATE INDEX records_message_id ON records (message_id) WHERE message_id <> '';
-- Each 8192 records have a piece of their own in the index of clients. What
-- comes in, and what goes, then changes the few pages of one piece, and not a
-- page for each client anywhere in a large file.
CREATE INDEX records_client ON records (id >> 13, client, time) WHERE client IS NOT NULL;
