-- Who is in which group. A group is there while it has a member or a rate.
CREATE TABLE group_members (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	name    TEXT NOT NULL,
	user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	UNIQUE (user_id, name)
) STRICT;
CREATE INDEX group_members_name ON group_members (name);

-- Other rates of a limit for a user, a group or a domain: one of the three is
-- set. The limit is one of the configuration, which may not have it any more.
CREATE TABLE limit_rates (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id    INTEGER REFERENCES users (id) ON DELETE CASCADE,
	domain_id  INTEGER REFERENCES domains (id) ON DELETE CASCADE,
	group_name TEXT,
	limit_name TEXT NOT NULL,
	rate       TEXT NOT NULL,
	CHECK ((user_id IS NOT NULL) + (domain_id IS NOT NULL) + (group_name IS NOT NULL) = 1)
) STRICT;
CREATE UNIQUE INDEX limit_rates_user ON limit_rates (user_id, limit_name) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX limit_rates_domain ON limit_rates (domain_id, limit_name) WHERE domain_id IS NOT NULL;
CREATE UNIQUE INDEX limit_rates_group ON limit_rates (group_name, limit_name) WHERE group_name IS NOT NULL;
