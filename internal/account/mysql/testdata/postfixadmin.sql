-- The tables that the queries in DOCUMENTS/POSTFIX_CONF.txt and DOCUMENTS/DOVECOT.txt
-- of https://github.com/postfixadmin/postfixadmin read.
CREATE TABLE domain (
	domain VARCHAR(255) NOT NULL PRIMARY KEY,
	description VARCHAR(255) CHARACTER SET utf8 NOT NULL DEFAULT '',
	aliases INT NOT NULL DEFAULT 0,
	mailboxes INT NOT NULL DEFAULT 0,
	maxquota BIGINT NOT NULL DEFAULT 0,
	quota BIGINT NOT NULL DEFAULT 0,
	transport VARCHAR(255) DEFAULT NULL,
	backupmx TINYINT(1) NOT NULL DEFAULT 0,
	created DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00',
	modified DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00',
	active TINYINT(1) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=latin1;
CREATE TABLE alias_domain (
	alias_domain VARCHAR(255) NOT NULL PRIMARY KEY,
	target_domain VARCHAR(255) NOT NULL DEFAULT '',
	created DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00',
	modified DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00',
	active TINYINT(1) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=latin1;
CREATE TABLE mailbox (
	username VARCHAR(255) NOT NULL PRIMARY KEY,
	password VARCHAR(255) NOT NULL,
	name VARCHAR(255) CHARACTER SET utf8 NOT NULL DEFAULT '',
	maildir VARCHAR(255) NOT NULL DEFAULT '',
	quota BIGINT NOT NULL DEFAULT 0,
	local_part VARCHAR(255) NOT NULL DEFAULT '',
	domain VARCHAR(255) NOT NULL,
	created DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00',
	modified DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00',
	active TINYINT(1) NOT NULL DEFAULT 1,
	KEY domain (domain)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;
CREATE TABLE alias (
	address VARCHAR(255) NOT NULL PRIMARY KEY,
	goto TEXT NOT NULL,
	domain VARCHAR(255) NOT NULL,
	created DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00',
	modified DATETIME NOT NULL DEFAULT '2000-01-01 00:00:00',
	active TINYINT(1) NOT NULL DEFAULT 1,
	KEY domain (domain)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

INSERT INTO domain (domain, active, backupmx) VALUES
	('ALL', 1, 0), ('example.org', 1, 0), ('example.net', 1, 0), ('asleep.example', 0, 0), ('backup.example', 1, 1), ('other.example', 1, 0);
INSERT INTO alias_domain (alias_domain, target_domain, active) VALUES
	('other.example', 'example.org', 1), ('off.example', 'example.org', 0), ('lost.example', 'asleep.example', 1);
INSERT INTO mailbox (username, password, quota, domain, created, modified, active) VALUES
	('alice@example.org', '$1$salt$alice', 1024000000, 'example.org', '2024-01-02 03:04:05', '2025-01-02 03:04:05', 1),
	('bob@example.org', '{BLF-CRYPT}$2y$05$bob', 0, 'example.org', '2024-02-02 03:04:05', '2025-01-02 03:04:05', 1),
	('carl@example.org', '$1$salt$carl', -1, 'example.org', '2024-03-02 03:04:05', '2025-01-02 03:04:05', 1),
	('gone@example.org', '$1$salt$gone', 0, 'example.org', '2024-03-02 03:04:05', '2025-01-02 03:04:05', 0),
	('dora@asleep.example', '$1$salt$dora', 0, 'asleep.example', '2024-03-02 03:04:05', '2025-01-02 03:04:05', 1);
INSERT INTO alias (address, goto, domain, active) VALUES
	('alice@example.org', 'alice@example.org', 'example.org', 1),
	('bob@example.org', 'bob@example.org,bob#example.org@autoreply.example.org', 'example.org', 1),
	('carl@example.org', 'zoe@elsewhere.example', 'example.org', 1),
	('gone@example.org', 'gone@example.org', 'example.org', 0),
	('dora@asleep.example', 'bob@example.org', 'asleep.example', 1),
	('info@example.org', 'alice@example.org,bob@example.org', 'example.org', 1),
	('old@example.org', 'alice@example.org', 'example.org', 0),
	('@example.net', 'alice@example.org', 'example.net', 1),
	('sales@other.example', 'bob@example.org', 'other.example', 1);
