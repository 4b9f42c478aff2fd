CREATE TABLE domains (
	id   INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL UNIQUE
) STRICT;

-- AUTOINCREMENT: the id of a removed user must not come back for another one.
CREATE TABLE users (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	domain_id INTEGER NOT NULL REFERENCES domains (id),
	local     TEXT NOT NULL,
	password  TEXT NOT NULL,
	held      INTEGER NOT NULL DEFAULT 0,
	disabled  INTEGER NOT NULL DEFAULT 0,
	quota     INTEGER NOT NULL DEFAULT 0,
	changed   INTEGER NOT NULL,
	UNIQUE (domain_id, local)
) STRICT;

-- One row for each target; local = '' is the catch-all. target_key is the
-- target in lower case, target is as it was typed.
CREATE TABLE aliases (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	domain_id  INTEGER NOT NULL REFERENCES domains (id),
	local      TEXT NOT NULL,
	target     TEXT NOT NULL,
	target_key TEXT NOT NULL,
	UNIQUE (domain_id, local, target_key)
) STRICT;
