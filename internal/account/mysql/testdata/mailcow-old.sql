-- The tables that data/Dockerfiles/postfix/postfix.sh and data/web/inc/init_db.inc.php
-- of https://github.com/mailcow/mailcow-dockerized name, without columns for what
-- is not asked here, before temporary aliases could be permanent.
CREATE TABLE domain (
	domain VARCHAR(255) NOT NULL PRIMARY KEY,
	description VARCHAR(255),
	maxquota BIGINT(20) NOT NULL DEFAULT 102400,
	quota BIGINT(20) NOT NULL DEFAULT 102400,
	relayhost VARCHAR(255) NOT NULL DEFAULT '0',
	backupmx TINYINT(1) NOT NULL DEFAULT 0,
	relay_all_recipients TINYINT(1) NOT NULL DEFAULT 0,
	created DATETIME(0) NOT NULL DEFAULT NOW(0),
	modified DATETIME ON UPDATE CURRENT_TIMESTAMP,
	active TINYINT(1) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;
CREATE TABLE alias_domain (
	alias_domain VARCHAR(255) NOT NULL PRIMARY KEY,
	target_domain VARCHAR(255) NOT NULL,
	active TINYINT(1) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;
CREATE TABLE mailbox (
	username VARCHAR(255) NOT NULL PRIMARY KEY,
	password VARCHAR(255) NOT NULL,
	name VARCHAR(255),
	mailbox_path_prefix VARCHAR(150) DEFAULT '/var/vmail/',
	quota BIGINT(20) NOT NULL DEFAULT 102400,
	local_part VARCHAR(255) NOT NULL DEFAULT '',
	domain VARCHAR(255) NOT NULL,
	attributes JSON,
	kind VARCHAR(100) NOT NULL DEFAULT '',
	created DATETIME(0) NOT NULL DEFAULT NOW(0),
	modified DATETIME ON UPDATE CURRENT_TIMESTAMP,
	active TINYINT(1) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;
CREATE TABLE alias (
	id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	address VARCHAR(255) NOT NULL,
	goto TEXT NOT NULL,
	domain VARCHAR(255) NOT NULL,
	active TINYINT(1) NOT NULL DEFAULT 1,
	UNIQUE KEY address (address)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;
CREATE TABLE spamalias (
	address VARCHAR(255) NOT NULL PRIMARY KEY,
	goto TEXT NOT NULL,
	validity INT(11) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

INSERT INTO domain (domain, active, backupmx) VALUES
	('example.org', 1, 0), ('example.net', 1, 0), ('asleep.example', 0, 0), ('backup.example', 1, 1);
INSERT INTO alias_domain (alias_domain, target_domain, active) VALUES
	('other.example', 'example.org', 1), ('off.example', 'example.org', 0), ('lost.example', 'asleep.example', 1);
INSERT INTO mailbox (username, password, quota, domain, attributes, kind, active) VALUES
	('alice@example.org', '{BLF-CRYPT}$2y$10$alice', 3221225472, 'example.org',
		'{"force_pw_update":"0","imap_access":"1","pop3_access":"1","smtp_access":"1","sieve_access":"1","sogo_access":"1"}', '', 1),
	('bob@example.org', '{SSHA256}bob', 0, 'example.org',
		'{"force_pw_update":"0","imap_access":"1","pop3_access":"0","smtp_access":"1","sieve_access":"0"}', '', 1),
	('carl@example.org', '{BLF-CRYPT}$2y$10$carl', 0, 'example.org', '{"force_pw_update":"1"}', '', 1),
	('dora@example.org', '{BLF-CRYPT}$2y$10$dora', 0, 'example.org', NULL, '', 2),
	('eve@example.org', '{BLF-CRYPT}$2y$10$eve', 0, 'example.org',
		'{"imap_access":"0","pop3_access":"0","smtp_access":"0","sieve_access":"0","sogo_access":"0"}', '', 1),
	('gone@example.org', '{BLF-CRYPT}$2y$10$gone', 0, 'example.org', '{}', '', 0),
	('room@example.org', 'RESOURCE', 0, 'example.org', '{}', 'location', 1),
	('zed@asleep.example', '{BLF-CRYPT}$2y$10$zed', 0, 'asleep.example', '{}', '', 1);
INSERT INTO alias (address, goto, domain, active) VALUES
	('alice@example.org', 'alice@example.org', 'example.org', 1),
	('bob@example.org', 'bob@example.org', 'example.org', 1),
	('dora@example.org', 'dora@example.org', 'example.org', 2),
	('gone@example.org', 'gone@example.org', 'example.org', 0),
	('info@example.org', 'bob@example.org,alice@example.org', 'example.org', 1),
	('trash@example.org', 'null@localhost', 'example.org', 1),
	('old@example.org', 'alice@example.org', 'example.org', 0),
	('@example.net', 'alice@example.org', 'example.net', 1),
	('sales@other.example', 'bob@example.org', 'other.example', 1),
	('x@asleep.example', 'bob@example.org', 'asleep.example', 1);
INSERT INTO spamalias (address, goto, validity) VALUES
	('shop.1@example.org', 'alice@example.org', 2147483647),
	('shop.2@example.org', 'alice@example.org', 1000000000),
	('shop.3@example.org', 'alice@example.org', 2147483646);
