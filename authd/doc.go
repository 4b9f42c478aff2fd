// Package authd answers logins for Postfix and Dovecot and tells Dovecot where a
// user's mail is, in Dovecot's own authentication protocols: client protocol
// 1.2, which Postfix 3.5 to 3.12 and Dovecot 2.2 to 2.4 speak, and master
// protocol 1.1. Four kinds of listeners share one Server:
//
//	Client   Postfix: smtpd_sasl_type = dovecot, smtpd_sasl_path = gatepost/auth
//	Login    service imap-login { executable = imap-login /run/gatepost/login }
//	Master   service imap { executable = imap -a /run/gatepost/master }
//	Userdb   auth_socket_path = /run/gatepost/userdb
//
// The mechanisms are PLAIN and LOGIN. A user's name is a whole address, in any
// case; what is sent on is in lower case.
//
//	srv, err := authd.New(authd.Default(), authd.Deps{
//		Accounts: store, Guard: g, Journal: j, Meter: metrics,
//	}, log)
//	if err != nil {
//		return err
//	}
//	err = srv.Serve(ctx, ln, authd.Client)
//
// # What the peer hears
//
// An unknown user and a wrong password are one answer after the same work and
// the same delay. A login takes no more than 8 s, because Postfix waits 10. When
// that cannot be kept, or the account store is away, Postfix loses the
// connection, which makes it say 454 (every FAIL is a 535 there), and Dovecot
// gets FAIL with temp and code=temp_fail. A disabled account is FAIL for Postfix,
// which takes OK with nologin for success, and OK with nologin for Dovecot. A
// held account may read mail and not send it. A network that the guard closed is
// refused before its password is looked at.
//
// When authd is away, an smtpd that offers SASL dies before its banner: SASL
// belongs on the submission services, never on port 25.
//
// Right passwords are remembered for some minutes, as keyed hashes over account,
// stored hash and password; the account itself is read for every login, so that
// a new password and the flags held and disabled hold at once.
//
// Left out: CRAM-MD5, SCRAM, OAuth, master users (an authzid that differs is
// refused), proxying, and Dovecot's auth_token. One unfinished exchange of a
// connection is forgotten for a new one beyond 1024. Master requests of one
// connection are answered in order. Dovecot 2.4 was read, not run.
package authd
