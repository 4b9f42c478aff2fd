-- Texts are bytes: look-ups are exact, whatever the server's collation is, and
-- a space at the end counts. Times are in milliseconds since 1970, 0 is none.
CREATE TABLE IF NOT EXISTS {schema} (
	version  INT PRIMARY KEY,
	name     VARBINARY(100) NOT NULL,
	checksum VARBINARY(64) NOT NULL,
	applied  BIGINT NOT NULL
) ENGINE = InnoDB;

-- One row, which moves with each change of the others.
CREATE TABLE IF NOT EXISTS {version} (
	id      TINYINT PRIMARY KEY,
	version BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB;

INSERT IGNORE INTO {version} (id, version) VALUES (1, 1);

-- Domains, users and aliases of the schema "gatepost".
CREATE TABLE IF NOT EXISTS {domains} (
	name VARBINARY(255) PRIMARY KEY
) ENGINE = InnoDB;

-- The id of a removed user does not come back: InnoDB keeps the counter over a
-- restart (MariaDB 10.2.4, MySQL 8).
CREATE TABLE IF NOT EXISTS {users} (
	id         BIGINT PRIMARY KEY AUTO_INCREMENT,
	domain     VARBINARY(255) NOT NULL,
	local      VARBINARY(64) NOT NULL,
	password   VARBINARY(1024) NOT NULL,
	quota      BIGINT NOT NULL,
	held       TINYINT NOT NULL,
	disabled   TINYINT NOT NULL,
	allow_nets VARBINARY(8192) NOT NULL,
	nologin    VARBINARY(200) NOT NULL,
	services   VARBINARY(200) NOT NULL,
	expires    BIGINT NOT NULL,
	changed    BIGINT NOT NULL,
	UNIQUE KEY address (domain, local),
	FOREIGN KEY (domain) REFERENCES {domains} (name)
) ENGINE = InnoDB;

-- One row for each target; local = '' is the catch-all. target_key is the target
-- in lower case, target is as it was typed.
CREATE TABLE IF NOT EXISTS {aliases} (
	id         BIGINT PRIMARY KEY AUTO_INCREMENT,
	domain     VARBINARY(255) NOT NULL,
	local      VARBINARY(64) NOT NULL,
	target     VARBINARY(400) NOT NULL,
	target_key VARBINARY(400) NOT NULL,
	UNIQUE KEY target (domain, local, target_key),
	FOREIGN KEY (domain) REFERENCES {domains} (name)
) ENGINE = InnoDB;

-- What we add to users of a foreign schema. owner is which user of that address
-- it belongs to: a later one has another, and none of it.
CREATE TABLE IF NOT EXISTS {marks} (
	domain     VARBINARY(255) NOT NULL,
	local      VARBINARY(64) NOT NULL,
	owner      BIGINT NOT NULL,
	held       TINYINT NOT NULL DEFAULT 0,
	disabled   TINYINT NOT NULL DEFAULT 0,
	allow_nets VARBINARY(8192) NOT NULL DEFAULT '',
	nologin    VARBINARY(200) NOT NULL DEFAULT '',
	services   VARBINARY(200) NOT NULL DEFAULT '',
	expires    BIGINT NOT NULL DEFAULT 0,
	changed    BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (domain, local)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {app_passwords} (
	id        BIGINT PRIMARY KEY AUTO_INCREMENT,
	domain    VARBINARY(255) NOT NULL,
	local     VARBINARY(64) NOT NULL,
	owner     BIGINT NOT NULL,
	name      VARBINARY(64) NOT NULL,
	hash      VARBINARY(1024) NOT NULL,
	services  VARBINARY(200) NOT NULL,
	created   BIGINT NOT NULL,
	expires   BIGINT NOT NULL,
	last_used BIGINT NOT NULL DEFAULT 0,
	last_addr VARBINARY(64) NOT NULL DEFAULT '',
	UNIQUE KEY name (domain, local, name)
) ENGINE = InnoDB;

-- as_local = '' is every address of as_domain.
CREATE TABLE IF NOT EXISTS {grants} (
	id        BIGINT PRIMARY KEY AUTO_INCREMENT,
	domain    VARBINARY(255) NOT NULL,
	local     VARBINARY(64) NOT NULL,
	owner     BIGINT NOT NULL,
	as_domain VARBINARY(255) NOT NULL,
	as_local  VARBINARY(64) NOT NULL,
	UNIQUE KEY address (domain, local, as_domain, as_local),
	KEY granted (as_domain, as_local)
) ENGINE = InnoDB;

-- moderators are addresses, one in a line.
CREATE TABLE IF NOT EXISTS {posting} (
	domain     VARBINARY(255) NOT NULL,
	local      VARBINARY(64) NOT NULL,
	rule       VARBINARY(32) NOT NULL,
	moderators MEDIUMBLOB NOT NULL,
	reason     VARBINARY(200) NOT NULL,
	PRIMARY KEY (domain, local)
) ENGINE = InnoDB;

-- The allow and deny entries. until = 0 stays.
CREATE TABLE IF NOT EXISTS {access} (
	id     BIGINT PRIMARY KEY AUTO_INCREMENT,
	deny   TINYINT NOT NULL,
	name   VARBINARY(512) NOT NULL,
	scope  VARBINARY(400) NOT NULL,
	reason VARBINARY(200) NOT NULL,
	until  BIGINT NOT NULL,
	added  BIGINT NOT NULL,
	UNIQUE KEY entry (deny, name, scope)
) ENGINE = InnoDB;

-- A group is there while it has a member or a rate.
CREATE TABLE IF NOT EXISTS {group_members} (
	id     BIGINT PRIMARY KEY AUTO_INCREMENT,
	name   VARBINARY(64) NOT NULL,
	domain VARBINARY(255) NOT NULL,
	local  VARBINARY(64) NOT NULL,
	owner  BIGINT NOT NULL,
	UNIQUE KEY member (domain, local, name),
	KEY name (name)
) ENGINE = InnoDB;

-- Other rates of a limit: of a user (local set), of a group (group_name set) or
-- of a domain.
CREATE TABLE IF NOT EXISTS {limit_rates} (
	id         BIGINT PRIMARY KEY AUTO_INCREMENT,
	domain     VARBINARY(255) NOT NULL DEFAULT '',
	local      VARBINARY(64) NOT NULL DEFAULT '',
	owner      BIGINT NOT NULL DEFAULT 0,
	group_name VARBINARY(64) NOT NULL DEFAULT '',
	limit_name VARBINARY(200) NOT NULL,
	rate       VARBINARY(200) NOT NULL,
	UNIQUE KEY subject (domain, local, group_name, limit_name),
	KEY group_name (group_name)
) ENGINE = InnoDB;

-- Keys of our own, made when first asked for: what is computed with them has to
-- be the same on all hosts.
CREATE TABLE IF NOT EXISTS {own_keys} (
	name  VARBINARY(64) PRIMARY KEY,
	value VARBINARY(64) NOT NULL
) ENGINE = InnoDB;
