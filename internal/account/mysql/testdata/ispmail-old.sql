-- The same tables in the older form without quotas, which is also that of
-- https://www.linode.com/docs/guides/email-with-postfix-dovecot-and-mysql/
CREATE TABLE virtual_domains (
	id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	name VARCHAR(50) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE virtual_users (
	id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	domain_id INT NOT NULL,
	email VARCHAR(100) NOT NULL,
	password VARCHAR(106) NOT NULL,
	UNIQUE KEY email (email),
	FOREIGN KEY (domain_id) REFERENCES virtual_domains (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE virtual_aliases (
	id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	domain_id INT NOT NULL,
	source VARCHAR(100) NOT NULL,
	destination VARCHAR(100) NOT NULL,
	FOREIGN KEY (domain_id) REFERENCES virtual_domains (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO virtual_domains (id, name) VALUES (1, 'example.org'), (2, 'example.net');
INSERT INTO virtual_users (id, domain_id, password, email) VALUES
	(1, 1, '{BLF-CRYPT}$2y$05$john', 'john@example.org'),
	(2, 1, '{SHA256-CRYPT}$5$salt$jack', 'jack@example.org');
INSERT INTO virtual_aliases (id, domain_id, source, destination) VALUES
	(1, 1, 'office@example.org', 'john@example.org'),
	(2, 1, 'office@example.org', 'jack@example.org'),
	(3, 2, '@example.net', 'john@example.org'),
	(4, 1, 'john@example.org', 'john@example.org'),
	(5, 1, 'john@example.org', 'zoe@elsewhere.example');
