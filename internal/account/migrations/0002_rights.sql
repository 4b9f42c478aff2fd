-- Who may send as what, besides what aliases give. local = '' is every address
-- of the domain, which need not be ours.
CREATE TABLE grants (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	local   TEXT NOT NULL,
	domain  TEXT NOT NULL,
	UNIQUE (user_id, domain, local)
) STRICT;
CREATE INDEX grants_as ON grants (domain, local);

-- Who may write to an address of ours: an alias that is a list, or an address
-- that takes no mail any more. moderators are addresses, one in a line.
CREATE TABLE posting (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	domain_id  INTEGER NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
	local      TEXT NOT NULL,
	rule       TEXT NOT NULL,
	moderators TEXT NOT NULL,
	reason     TEXT NOT NULL,
	UNIQUE (domain_id, local)
) STRICT;

-- The allow and deny entries. until = 0 stays; times are in milliseconds.
CREATE TABLE access (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	deny   INTEGER NOT NULL,
	name   TEXT NOT NULL,
	scope  TEXT NOT NULL,
	reason TEXT NOT NULL,
	until  INTEGER NOT NULL,
	added  INTEGER NOT NULL,
	UNIQUE (deny, name, scope)
) STRICT;
