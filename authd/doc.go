// Package authd answers logins for Postfix and Dovecot and tells Dovecot where a
// user's mail is, in Dovecot's own authentication protocols: client protocol 1.2
// and master protocol 1.1. Four kinds of listeners share one Server:
//
//	Client   Postfix: smtpd_sasl_type = dovecot, smtpd_sasl_path = gatepost/auth
//	Login    service imap-login { executable = imap-login /run/gatepost/login }
//	Master   service imap { executable = imap -a /run/gatepost/master }
//	Userdb   auth_socket_path = /run/gatepost/userdb
//
// A user's name is a whole address, in any case; what is sent on is in lower case.
//
//	srv, err := authd.New(authd.Default(), authd.Deps{
//		Accounts: store, Guard: g, Journal: j, Meter: metrics,
//	}, log)
//	if err != nil {
//		return err
//	}
//	err = srv.Serve(ctx, ln, authd.Client)
//
// # Versions
//
//	Postfix 3.7.11                    run (internal/e2e), and its captures replayed
//	Postfix 3.5 to 3.12               a client of ours that speaks as they do
//	Dovecot 2.3.19.1                  run, and its captures replayed
//	Dovecot 2.2, other 2.3, 2.4.0-4   a client of ours that speaks as they do, from
//	                                  what was read of their source
//
// A client of minor 3 or 4 is told 1.2, and asks for nothing that is newer:
// channel bindings and the answer to CANCEL.
//
// # Mechanisms
//
// PLAIN and LOGIN are offered by default. SCRAM-SHA-256 and SCRAM-SHA-1 are
// offered where the setting mechanisms names them, and never with -PLUS. They let
// in whose stored password is PLAIN, or is of the very mechanism; anybody else gets
// a whole exchange that fails at its end, and so do unknown users. They do not
// know app passwords. Since the proof of a wrong password looks different each
// time, a forgotten phone counts as many guesses: another reason to leave them out.
//
// # What the peer hears
//
// An unknown user and a wrong password are one answer after the same work and
// the same delay, which runs from the beginning and so hides what the work took. So
// is a right password from outside of allow_nets, or the main one where
// app_passwords_only asks for another: nothing is hashed for anybody then. A login takes no more than 8 s, the guard's tarpit and its wait for
// other guesses included, because Postfix waits 10. When that cannot be kept, or the
// account store is away, Postfix loses the connection, which makes it say 454
// (every FAIL is a 535 there), and Dovecot gets FAIL with temp and
// code=temp_fail. What an account's own rules refuse behind the right password
// (disabled, nologin, a service) is FAIL for Postfix, which takes OK with nologin
// for success, and OK with nologin and reason for Dovecot; an expired one is FAIL
// with code=pass_expired for both. A held account may read mail and not send it. A
// network that the guard closed is refused before its password is looked at.
//
// When the daemon ends, what has arrived is answered, and Master sockets go on
// until the mail processes of the last logins have come, for 2 s at most: with
// systemd holding the listeners, a restart loses no session.
//
// When authd is away, an smtpd that offers SASL dies before its banner: SASL
// belongs on the submission services, never on port 25.
//
// # What is remembered
//
// Right passwords are remembered for some minutes, as keyed hashes over account,
// stored hash, password and the client's network; the account, its rules and its
// app passwords are read for every login, so that a change, a hold and a ban
// hold at once. Such a login asks the guard whether its network is closed, and
// waits for nothing. Of one that comes more than ten times in 10 s the journal
// and the log tell the number. With rehash, the stored password is hashed anew
// behind the answer, 32 logins at most waiting for it.
//
// # Left out
//
// CRAM-MD5, OAuth, EXTERNAL and ANONYMOUS, master users (an authzid that differs
// is refused), proxying, and Dovecot's auth_token. One unfinished exchange of a
// connection is forgotten for a new one beyond 1024. Master requests of one
// connection are answered in order. quota_rule is the only field of a userdb answer
// that is another one for each user beside home: Dovecot 2.4 has other names for
// quotas.
package authd
