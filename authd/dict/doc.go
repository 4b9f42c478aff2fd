// Package dict gives accounts to a Dovecot that keeps its own auth process: it
// serves Dovecot's dict protocol, in the versions 2 (Dovecot 2.2 to 2.3.16), 3
// (2.3.17 to 2.3.21) and 4 (2.4), for passdb { driver = dict } and
// userdb { driver = dict }, and for the Lua script in contrib/dovecot, which
// 2.4 needs in their place.
//
//	key                            answer, JSON
//	shared/passdb/SERVICE/USER     password, and who may not log in why
//	shared/passdb/USER             the same where the service is not told
//	shared/userdb/USER             uid, gid, home, mail, quota_rule
//	shared/userdb/ (iterated)      a row a user; its value is the name
//
// An unknown key is N, a failed store F, which Dovecot makes a temporary
// failure. An account without a password gets one that nobody knows, so that no
// other passdb answers for it. Who may not log in now gets nologin and a reason
// for imap, pop3 and sieve; for every other service, and where none is told,
// the password of nobody: Postfix takes nologin for success.
//
// Hashes leave here, so that root and the user ids of Config.UIDs may ask, and
// nobody else.
//
//	srv, err := dict.New(dict.Default(), dict.Deps{Accounts: store, Journal: j, Meter: metrics}, log)
//	if err != nil {
//		return err
//	}
//	err = srv.Serve(ctx, ln)
//
// Dovecot checks the password here and the guard never sees it: the ways that
// stop guessing are package authd and package policy, and the latter goes well
// with this one. App passwords do not work in this way, because Dovecot checks
// one hash; with app_passwords_only no mail client gets in by it. A stored password
// that names no scheme leaves with the one that it is read as. Left out: transactions (B, C, D, R, S, U, A, T), which
// authentication does not use and which close the connection, and the time
// stamps behind replies. Protocol 3 was run with Dovecot 2.3.19, 2 and 4 were read.
package dict
