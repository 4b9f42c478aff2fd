package mysql

// mailcow is mailcow-dockerized's. Quotas are in bytes. A mailbox with active = 2
// takes mail, and nobody may log in to it; so it is with an alias of it. What a
// mailbox may log in to, and whether its password has to be changed first, stands
// in the JSON of attributes, where a service that is not named is allowed.
//
// Rooms and other resources (kind) are no mailboxes; mailcow drops their mail.
// A temporary alias is good until validity, or for good where the column
// permanent is there and says so: see guide for how that is asked.
func mailcow() Schema {
	const (
		attr     = "COALESCE(JSON_UNQUOTE(JSON_EXTRACT(m.attributes, "
		services = "CONCAT_WS(',', IF(" + attr + "'$.imap_access')), '1') = '1', 'imap', NULL), IF(" +
			attr + "'$.pop3_access')), '1') = '1', 'pop3', NULL), IF(" +
			attr + "'$.sieve_access')), '1') = '1', 'sieve', NULL), IF(" +
			attr + "'$.smtp_access')), '1') = '1', 'submission', NULL), IF(" +
			attr + "'$.sogo_access')), '1') = '1', 'web', NULL))"
		users = `SELECT CAST(m.created AS CHAR) AS id, m.username AS address, m.password, m.quota,
			NULLIF(` + services + `, 'imap,pop3,sieve,submission,web') AS services,
			CASE WHEN m.active = 2 THEN 'logins are switched off in mailcow'
				WHEN ` + attr + `'$.force_pw_update')), '0') = '1' THEN 'the password has to be changed in mailcow first'
				WHEN ` + services + ` = '' THEN 'no service is switched on in mailcow'
				ELSE '' END AS nologin, UNIX_TIMESTAMP(m.modified) AS changed
			FROM mailbox m JOIN domain d ON d.domain = m.domain
			WHERE m.active IN (1, 2) AND COALESCE(m.kind, '') = '' AND ` + ownDomain
		// A domain is the own one, or another name of it.
		isOurs  = "(EXISTS (" + adminDomains + " AND d.domain = a.domain) OR EXISTS (" + otherNames + " AND n.alias_domain = a.domain))"
		aliases = `SELECT a.address, a.goto AS destinations FROM alias a
			WHERE a.active IN (1, 2) AND a.goto <> a.address AND ` + isOurs
		temporary = `SELECT t.address, t.goto FROM spamalias t CROSS JOIN (SELECT 0 AS permanent) other
			WHERE (t.validity >= UNIX_TIMESTAMP() OR (SELECT permanent FROM spamalias x WHERE x.address = t.address) <> 0)`
		noOther = " AND NOT EXISTS (SELECT 1 FROM alias o WHERE o.address = CONCAT('@', n.alias_domain) AND o.active IN (1, 2))"
	)
	return Schema{
		Name:    "mailcow",
		Page:    "https://github.com/mailcow/mailcow-dockerized data/Dockerfiles/postfix/postfix.sh, data/web/inc/init_db.inc.php",
		Domain:  adminDomain,
		Domains: adminAllDomain,
		User:    users + oneUser,
		Users:   users + allUsers,
		Alias: aliases + " AND a.address = '%s' UNION ALL " + temporary + " AND t.address = '%s' UNION ALL " +
			otherCatchAlls + " AND '%u' = '' AND n.alias_domain = '%d'" + noOther,
		Aliases: aliases + " AND ('%d' = '' OR a.domain = '%d') UNION ALL " +
			temporary + " AND ('%d' = '' OR SUBSTRING_INDEX(t.address, '@', -1) = '%d') UNION ALL " +
			otherCatchAlls + " AND ('%d' = '' OR n.alias_domain = '%d')" + noOther,
	}
}
