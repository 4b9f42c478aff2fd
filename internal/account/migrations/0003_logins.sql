-- From where, to what, until when and why not a user may log in. allow_nets and
-- services are lists with a space between; empty does not restrict. expires = 0
-- is never; times are in milliseconds.
ALTER TABLE users ADD COLUMN allow_nets TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN nologin TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN services TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;

-- AUTOINCREMENT: a use that is written late must not go to the next password
-- of that name.
CREATE TABLE app_passwords (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	name      TEXT NOT NULL,
	hash      TEXT NOT NULL,
	services  TEXT NOT NULL,
	created   INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	last_used INTEGER NOT NULL DEFAULT 0,
	last_addr TEXT NOT NULL DEFAULT '',
	UNIQUE (user_id, name)
) STRICT;

-- Keys of our own, made when first asked for: what is computed with them has to
-- be the same after a restart.
CREATE TABLE own_keys (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT;
