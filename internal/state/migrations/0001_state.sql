-- expires is in milliseconds since 1970.
CREATE TABLE entries (
	id      INTEGER PRIMARY KEY,
	name    TEXT NOT NULL,
	key     TEXT NOT NULL,
	value   BLOB NOT NULL,
	expires INTEGER NOT NULL,
	UNIQUE (name, key)
) STRICT;
CREATE INDEX entries_expires ON entries (expires);

-- window is in nanoseconds; buckets is what counter.go encodes.
CREATE TABLE counters (
	key     TEXT PRIMARY KEY,
	max     INTEGER NOT NULL,
	window  INTEGER NOT NULL,
	buckets BLOB NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_expires ON counters (expires);
