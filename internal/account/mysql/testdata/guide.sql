-- The tables of https://www.linode.com/docs/guides/email-with-postfix-dovecot-and-mysql/
-- named as many guides after it do, with a list in destinations.
CREATE TABLE domains (
	id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	name VARCHAR(50) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE users (
	id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	domain_id INT NOT NULL,
	password VARCHAR(106) NOT NULL,
	email VARCHAR(120) NOT NULL,
	UNIQUE KEY email (email),
	FOREIGN KEY (domain_id) REFERENCES domains (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE aliases (
	id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	domain_id INT NOT NULL,
	source VARCHAR(100) NOT NULL,
	destinations TEXT NOT NULL,
	FOREIGN KEY (domain_id) REFERENCES domains (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO domains (id, name) VALUES (1, 'example.org'), (2, 'example.net'), (3, 'Example.COM');
INSERT INTO users (id, domain_id, password, email) VALUES
	(7, 1, '{SHA512-CRYPT}$6$salt$alice', 'alice@example.org'),
	(8, 1, '$6$salt$bare', 'Bob@Example.org'),
	(9, 2, '', 'nobody@example.net');
INSERT INTO aliases (id, domain_id, source, destinations) VALUES
	(1, 1, 'info@example.org', 'alice@example.org, bob@example.org,zoe@elsewhere.example'),
	(2, 1, 'alice@example.org', 'alice@example.org,bob@example.org'),
	(3, 2, '@example.net', 'nobody@example.net'),
	(4, 1, 'two@example.org', 'bob@example.org'),
	(5, 1, 'two@example.org', 'alice@example.org'),
	(6, 3, '@example.com', '@example.org');
