-- Hosts that share a stream learn the same in the same order. run, seq and item
-- name a learn on all of them: a life of a process, what it sent, and the place
-- in that; NULL is a learn of a host alone. file is the number of the Maildir
-- file that moved, 0 for none.
ALTER TABLE learns ADD COLUMN run INTEGER;
ALTER TABLE learns ADD COLUMN seq INTEGER;
ALTER TABLE learns ADD COLUMN item INTEGER;
ALTER TABLE learns ADD COLUMN file INTEGER NOT NULL DEFAULT 0;
CREATE INDEX learns_event ON learns (run, seq, item) WHERE run IS NOT NULL;
CREATE INDEX learns_file ON learns (file) WHERE file <> 0;
-- What this host wants learned and has not had back from the stream.
CREATE TABLE outbox (
	id    INTEGER PRIMARY KEY AUTOINCREMENT,
	run   INTEGER NOT NULL,
	seq   INTEGER NOT NULL,
	value BLOB NOT NULL,
	UNIQUE (run, seq)
) STRICT;
-- The last event of each run that was made here. own says that the run was one
-- of this file, time is that of the event.
CREATE TABLE runs (
	run  INTEGER PRIMARY KEY,
	seq  INTEGER NOT NULL,
	time INTEGER NOT NULL,
	own  INTEGER NOT NULL
) STRICT;
-- How far the stream was read. gaps counts how often events were missed, skipped
-- those that could not be read.
CREATE TABLE stream (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	mark    TEXT NOT NULL,
	joined  INTEGER NOT NULL,
	gaps    INTEGER NOT NULL,
	skipped INTEGER NOT NULL
) STRICT;
