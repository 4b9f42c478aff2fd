package mysql

// What PostfixAdmin and what came from it share. A domain that we only are a
// backup MX for has no mailboxes here. Another name of a domain stands in
// alias_domain. PostfixAdmin's domain "ALL" is none: it is for administrators.
const (
	ownDomain = "d.active = 1 AND d.backupmx = 0 AND d.domain <> 'ALL'"

	adminDomains = "SELECT d.domain FROM domain d WHERE " + ownDomain
	ofOtherNames = "FROM alias_domain n JOIN domain d ON d.domain = n.target_domain WHERE n.active = 1 AND " + ownDomain
	otherNames   = "SELECT n.alias_domain " + ofOtherNames

	adminDomain    = adminDomains + " AND d.domain = '%d' UNION " + otherNames + " AND n.alias_domain = '%d'"
	adminAllDomain = adminDomains + " UNION " + otherNames

	// otherCatchAlls are the catch-alls that lead to the domain whose other name
	// it is.
	otherCatchAlls = "SELECT CONCAT('@', n.alias_domain), CONCAT('@', n.target_domain) " + ofOtherNames
	// A catch-all that somebody wrote for the other name goes first.
	noCatchAll = " AND NOT EXISTS (SELECT 1 FROM alias o WHERE o.address = CONCAT('@', n.alias_domain) AND o.active = 1)"
)

// postfixAdmin is PostfixAdmin's. Quotas are in bytes. Each mailbox has an alias
// to itself there, because Postfix would give its mail to the catch-all
// otherwise; we do not, so only those that lead elsewhere too are shown.
func postfixAdmin() Schema {
	const (
		users = `SELECT CAST(m.created AS CHAR) AS id, m.username AS address, m.password, m.quota,
			UNIX_TIMESTAMP(m.modified) AS changed
			FROM mailbox m JOIN domain d ON d.domain = m.domain WHERE m.active = 1 AND ` + ownDomain
		aliases = `SELECT a.address, a.goto AS destinations FROM alias a JOIN domain d ON d.domain = a.domain
			WHERE a.active = 1 AND a.goto <> a.address AND ` + ownDomain
	)
	return Schema{
		Name:    "postfixadmin",
		Page:    "https://github.com/postfixadmin/postfixadmin DOCUMENTS/POSTFIX_CONF.txt, DOCUMENTS/DOVECOT.txt",
		Domain:  adminDomain,
		Domains: adminAllDomain,
		User:    users + oneUser,
		Users:   users + allUsers,
		Alias: aliases + " AND a.address = '%s' UNION ALL " +
			otherCatchAlls + " AND '%u' = '' AND n.alias_domain = '%d'" + noCatchAll,
		Aliases: aliases + " AND ('%d' = '' OR a.domain = '%d') UNION ALL " +
			otherCatchAlls + " AND ('%d' = '' OR n.alias_domain = '%d')" + noCatchAll,
	}
}

// iRedMail is iRedMail's vmail database, of 0.9.7 and later. Quotas are in MB.
// What a mailbox may log in to is a column for each service; that for TLS
// counts, which Dovecot also takes for a connection from the same host. Other
// names of a domain are no rows of domain.
//
// forwardings has all that leads somewhere, a row for each target: members of a
// list (is_list), other addresses of a mailbox (is_alias), where a mailbox's
// mail goes (is_forwarding, with a row to itself if it keeps a copy), and the
// catch-all, whose address is the domain alone. A row to itself that stands
// alone says nothing, but for a mailing list, which Postfix gives to mlmmj.
func iRedMail() Schema {
	const (
		services = `CONCAT_WS(',', IF(m.enableimapsecured = 1, 'imap', NULL), IF(m.enablepop3secured = 1, 'pop3', NULL),
			IF(m.enablesievesecured = 1, 'sieve', NULL), IF(m.enablesmtpsecured = 1, 'submission', NULL), 'web')`
		users = `SELECT CAST(m.created AS CHAR) AS id, m.username AS address, m.password, m.quota * 1048576 AS quota,
			m.allow_nets, NULLIF(` + services + `, 'imap,pop3,sieve,submission,web') AS services
			FROM mailbox m JOIN domain d ON d.domain = m.domain WHERE m.active = 1 AND ` + ownDomain
		// Targets keep their order by an outer SELECT: that of one part of a UNION
		// means nothing.
		aliases = `SELECT address, destinations FROM (SELECT f.id, f.address, f.forwarding AS destinations
			FROM forwardings f JOIN domain d ON d.domain = f.domain
			WHERE f.active = 1 AND ` + ownDomain + ` AND (f.forwarding <> f.address OR f.is_maillist = 1 OR EXISTS
			(SELECT 1 FROM forwardings o WHERE o.address = f.address AND o.forwarding <> f.address AND o.active = 1))`
		union = " UNION ALL SELECT 0, CONCAT('@', n.alias_domain), CONCAT('@', n.target_domain) " + ofOtherNames
		order = ") r ORDER BY id"
	)
	return Schema{
		Name:    "iredmail",
		Page:    "https://docs.iredmail.org/sql.create.mail.alias.html; samples/iredmail/iredmail.mysql, samples/dovecot/dovecot-2.4-mariadb.conf",
		Domain:  adminDomain,
		Domains: adminAllDomain,
		User:    users + oneUser,
		Users:   users + allUsers,
		Alias:   aliases + " AND f.address = IF('%u' = '', '%d', '%s')" + union + " AND '%u' = '' AND n.alias_domain = '%d'" + order,
		Aliases: aliases + " AND ('%d' = '' OR f.domain = '%d')" + union + " AND ('%d' = '' OR n.alias_domain = '%d')" + order,
	}
}
