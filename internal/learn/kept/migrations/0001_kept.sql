-- arrived is in milliseconds since 1970; message_id is the first 8 bytes of a
-- SHA-256 of it, 0 for none.
CREATE TABLE kept (
	id         INTEGER PRIMARY KEY,
	arrived    INTEGER NOT NULL,
	queue_id   TEXT NOT NULL,
	message_id INTEGER NOT NULL,
	features   BLOB NOT NULL
) STRICT;
CREATE INDEX kept_queue_id ON kept (queue_id);
-- What the watcher saw in a mailbox last.
CREATE TABLE mailboxes (
	name TEXT PRIMARY KEY,
	time INTEGER NOT NULL,
	seen BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- Which files our delivery made, by a hash of the base name. time is in seconds.
CREATE TABLE filed (
	name INTEGER PRIMARY KEY,
	time INTEGER NOT NULL,
	junk INTEGER NOT NULL
) STRICT;
