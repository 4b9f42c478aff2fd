package mysql

// presets are the schemas of others that are known by name. Each reads what the
// program's own queries for Postfix and Dovecot read, and means by it what they
// mean: a mailbox or domain that is not active is not there.
func presets() []Schema {
	return []Schema{guide(), postfixAdmin(), iRedMail(), ispMail(), mailcow()}
}

// The ends of the queries that find one, or list all or those of one domain.
const (
	oneUser  = " AND m.username = '%s'"
	allUsers = " AND ('%d' = '' OR m.domain = '%d')"
)

// guide is the schema of the many guides after one model: domains, users and
// aliases with foreign keys. Some call the targets of an alias "destination",
// a row for each, some "destinations", with commas between: in a subquery a name
// that the table has not is looked for outside, and is the NULL of "other" then.
func guide() Schema {
	const (
		users   = "SELECT id, email AS address, password FROM users"
		aliases = `SELECT a.source AS address, COALESCE(
			(SELECT destinations FROM aliases x WHERE x.id = a.id),
			(SELECT destination FROM aliases y WHERE y.id = a.id)) AS destinations
			FROM aliases a JOIN domains d ON d.id = a.domain_id
			CROSS JOIN (SELECT NULL AS destination, NULL AS destinations) other`
	)
	return Schema{
		Name:    "guide",
		Page:    "https://www.linode.com/docs/guides/email-with-postfix-dovecot-and-mysql/ (tables named without virtual_)",
		Domain:  "SELECT name AS domain FROM domains WHERE name = '%d'",
		Domains: "SELECT name AS domain FROM domains",
		User:    users + " WHERE email = '%s'",
		Users:   users + " WHERE '%d' = '' OR SUBSTRING_INDEX(email, '@', -1) = '%d'",
		Alias:   aliases + " WHERE a.source = '%s' ORDER BY a.id",
		Aliases: aliases + " WHERE '%d' = '' OR d.name = '%d' ORDER BY a.id",
	}
}

// ispMail is the schema of the ISPmail guide, which Linode's guide shares but
// for the quota: that column, in bytes, came with Debian Buster's edition.
func ispMail() Schema {
	const (
		users = `SELECT m.id, m.email AS address, m.password,
			(SELECT quota FROM virtual_users x WHERE x.id = m.id) AS quota
			FROM virtual_users m CROSS JOIN (SELECT 0 AS quota) other`
		aliases = `SELECT a.source AS address, a.destination AS destinations
			FROM virtual_aliases a JOIN virtual_domains d ON d.id = a.domain_id`
	)
	return Schema{
		Name:    "ispmail",
		Page:    "https://workaround.org/ispmail-bookworm/preparing-the-database/",
		Domain:  "SELECT name AS domain FROM virtual_domains WHERE name = '%d'",
		Domains: "SELECT name AS domain FROM virtual_domains",
		User:    users + " WHERE m.email = '%s'",
		Users:   users + " WHERE '%d' = '' OR SUBSTRING_INDEX(m.email, '@', -1) = '%d'",
		Alias:   aliases + " WHERE a.source = '%s' ORDER BY a.id",
		Aliases: aliases + " WHERE '%d' = '' OR d.name = '%d' ORDER BY a.id",
	}
}
