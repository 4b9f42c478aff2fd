-- Times are in milliseconds since 1970; arrived is in seconds. message is the
-- first half of a SHA-256 over the features and the Message-ID. applied and
-- undone count the changes of the model, from 1, both in one order.
CREATE TABLE learns (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	time       INTEGER NOT NULL,
	message    BLOB NOT NULL,
	message_id TEXT NOT NULL,
	queue_id   TEXT NOT NULL,
	arrived    INTEGER NOT NULL,
	campaign   INTEGER NOT NULL,
	spam       INTEGER NOT NULL,
	source     TEXT NOT NULL,
	user       TEXT NOT NULL,
	share      REAL NOT NULL,
	state      INTEGER NOT NULL,
	reason     TEXT NOT NULL,
	applied    INTEGER,
	undone     INTEGER,
	step       BLOB,
	features   BLOB
) STRICT;
CREATE INDEX learns_message ON learns (message);
CREATE INDEX learns_message_id ON learns (message_id) WHERE message_id <> '';
CREATE INDEX learns_queue_id ON learns (queue_id) WHERE queue_id <> '';
CREATE INDEX learns_user ON learns (user, time);
CREATE INDEX learns_campaign ON learns (campaign, time) WHERE state = 1;
CREATE INDEX learns_waiting ON learns (user) WHERE state = 0;
CREATE INDEX learns_features ON learns (time) WHERE features IS NOT NULL;
CREATE INDEX learns_applied ON learns (applied) WHERE applied IS NOT NULL;
CREATE INDEX learns_undone ON learns (undone) WHERE undone IS NOT NULL;
-- Which file of weights has which changes in it: the SHA-256 of the file, and
-- the last change.
CREATE TABLE saves (
	sum  BLOB PRIMARY KEY,
	mark INTEGER NOT NULL,
	time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
