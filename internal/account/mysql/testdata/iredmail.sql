-- The tables of vmail as https://docs.iredmail.org/sql.create.mail.alias.html and
-- samples/iredmail/iredmail.mysql of https://github.com/iredmail/iRedMail have them,
-- without columns for what is not asked here.
CREATE TABLE domain (
	domain VARCHAR(255) NOT NULL DEFAULT '' PRIMARY KEY,
	transport VARCHAR(255) NOT NULL DEFAULT 'dovecot',
	backupmx TINYINT(1) NOT NULL DEFAULT 0,
	created DATETIME NOT NULL DEFAULT '1970-01-01 01:01:01',
	expired DATETIME NOT NULL DEFAULT '9999-12-31 00:00:00',
	active TINYINT(1) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE alias_domain (
	alias_domain VARCHAR(255) NOT NULL PRIMARY KEY,
	target_domain VARCHAR(255) NOT NULL,
	active TINYINT(1) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE mailbox (
	username VARCHAR(255) NOT NULL DEFAULT '' PRIMARY KEY,
	password VARCHAR(255) NOT NULL DEFAULT '',
	name VARCHAR(255) NOT NULL DEFAULT '',
	maildir VARCHAR(255) NOT NULL DEFAULT '',
	quota BIGINT(20) NOT NULL DEFAULT 0,
	domain VARCHAR(255) NOT NULL DEFAULT '',
	enablesmtp TINYINT(1) NOT NULL DEFAULT 1,
	enablesmtpsecured TINYINT(1) NOT NULL DEFAULT 1,
	enablepop3 TINYINT(1) NOT NULL DEFAULT 1,
	enablepop3secured TINYINT(1) NOT NULL DEFAULT 1,
	enableimap TINYINT(1) NOT NULL DEFAULT 1,
	enableimapsecured TINYINT(1) NOT NULL DEFAULT 1,
	enablesieve TINYINT(1) NOT NULL DEFAULT 1,
	enablesievesecured TINYINT(1) NOT NULL DEFAULT 1,
	enabledeliver TINYINT(1) NOT NULL DEFAULT 1,
	allow_nets TEXT DEFAULT NULL,
	passwordlastchange DATETIME NOT NULL DEFAULT '1970-01-01 01:01:01',
	created DATETIME NOT NULL DEFAULT '1970-01-01 01:01:01',
	expired DATETIME NOT NULL DEFAULT '9999-12-31 00:00:00',
	active TINYINT(1) NOT NULL DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE forwardings (
	id BIGINT(20) UNSIGNED AUTO_INCREMENT PRIMARY KEY,
	address VARCHAR(255) NOT NULL DEFAULT '',
	forwarding VARCHAR(255) NOT NULL DEFAULT '',
	domain VARCHAR(255) NOT NULL DEFAULT '',
	dest_domain VARCHAR(255) NOT NULL DEFAULT '',
	is_maillist TINYINT(1) NOT NULL DEFAULT 0,
	is_list TINYINT(1) NOT NULL DEFAULT 0,
	is_forwarding TINYINT(1) NOT NULL DEFAULT 0,
	is_alias TINYINT(1) NOT NULL DEFAULT 0,
	active TINYINT(1) NOT NULL DEFAULT 1,
	UNIQUE INDEX (address, forwarding)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO domain (domain, active, backupmx) VALUES
	('example.org', 1, 0), ('example.net', 1, 0), ('asleep.example', 0, 0), ('backup.example', 1, 1);
INSERT INTO alias_domain (alias_domain, target_domain, active) VALUES
	('other.example', 'example.org', 1), ('off.example', 'example.org', 0), ('lost.example', 'asleep.example', 1);
INSERT INTO mailbox (username, password, quota, domain, created) VALUES
	('alice@example.org', '{SSHA512}alice', 1024, 'example.org', '2024-01-02 03:04:05'),
	('bob@example.org', '{SSHA512}bob', 0, 'example.org', '2024-01-02 03:04:05'),
	('carl@example.org', '$1$salt$carl', 0, 'example.org', '2024-01-02 03:04:05'),
	('gone@example.org', '{SSHA512}gone', 0, 'example.org', '2024-01-02 03:04:05'),
	('dora@asleep.example', '{SSHA512}dora', 0, 'asleep.example', '2024-01-02 03:04:05');
UPDATE mailbox SET active = 0 WHERE username = 'gone@example.org';
UPDATE mailbox SET enablepop3 = 0, enablepop3secured = 0, enablesievesecured = 0, allow_nets = '192.0.2.0/24,2001:db8::1' WHERE username = 'bob@example.org';
-- POP3 and IMAP with TLS only is all that TLS can have.
UPDATE mailbox SET enablepop3 = 0, enableimap = 0 WHERE username = 'carl@example.org';
INSERT INTO forwardings (id, address, forwarding, domain, dest_domain, is_maillist, is_list, is_forwarding, is_alias, active) VALUES
	(1, 'alice@example.org', 'alice@example.org', 'example.org', 'example.org', 0, 0, 1, 0, 1),
	(2, 'bob@example.org', 'zoe@elsewhere.example', 'example.org', 'elsewhere.example', 0, 0, 1, 0, 1),
	(3, 'bob@example.org', 'bob@example.org', 'example.org', 'example.org', 0, 0, 1, 0, 1),
	(4, 'carl@example.org', 'alice@example.org', 'example.org', 'example.org', 0, 0, 1, 0, 1),
	(5, 'a.lice@example.org', 'alice@example.org', 'example.org', 'example.org', 0, 0, 0, 1, 1),
	(6, 'staff@example.org', 'carl@example.org', 'example.org', 'example.org', 0, 1, 0, 0, 1),
	(7, 'staff@example.org', 'alice@example.org', 'example.org', 'example.org', 0, 1, 0, 0, 1),
	(8, 'staff@example.org', 'bob@example.org', 'example.org', 'example.org', 0, 1, 0, 0, 0),
	(9, 'old@example.org', 'alice@example.org', 'example.org', 'example.org', 0, 1, 0, 0, 0),
	(10, 'list@example.org', 'list@example.org', 'example.org', 'example.org', 1, 0, 0, 0, 1),
	(11, 'example.net', 'alice@example.org', 'example.net', 'example.org', 0, 0, 0, 0, 1),
	(12, 'info@asleep.example', 'alice@example.org', 'asleep.example', 'example.org', 0, 1, 0, 0, 1);
