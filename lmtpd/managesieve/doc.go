// Package managesieve lets mail programs edit Sieve scripts: ManageSieve
// (RFC 5804) for Thunderbird, Roundcube, sieve-connect and others.
//
//	S: "IMPLEMENTATION" "Gatepost"
//	S: "SIEVE" "fileinto vacation …"
//	S: "SASL" ""
//	S: "STARTTLS"
//	S: OK "mx.example.org is ready"
//	C: STARTTLS
//	S: OK "begin TLS now"
//	   (TLS, the capabilities again, now with "SASL" "PLAIN LOGIN")
//	C: AUTHENTICATE "PLAIN" "…"
//	S: OK "logged in"
//	C: PUTSCRIPT "holidays" {54+}
//	C: (the script)
//	S: OK "script kept"
//	C: SETACTIVE "holidays"
//	S: OK "script active"
//
// A Server is one room of lmtpd, with a listener of its own that is off by
// default:
//
//	srv, err := managesieve.New(cfg, managesieve.Deps{
//		Scripts: store, Check: checker.Check, Journal: j, Meter: metrics,
//	}, log)
//	if err != nil {
//		return err
//	}
//	err = srv.Serve(ctx, ln)
//
// # Logins
//
// Passwords are the auth server's: authd, or a Dovecot that keeps its own. The
// server is a client on the socket that Postfix uses (Dovecot's client protocol,
// service=sieve), passes SASL messages on, and keeps none. A login needs TLS. What
// the auth server refuses for a reason (a ban, an account that may not use sieve)
// is told to the user; when it is away, or says that the fault is its own, the
// answer is TRYLATER.
//
// # Scripts
//
// They are where Pigeonhole has them (package script). One is compiled before it
// is kept and before it becomes active; the error has every fault with its line.
// A script that includes another one of the user that is not there yet is kept,
// with WARNINGS. Every change is in the journal: a script that sends mail on is
// what a thief leaves behind.
//
// # Bounds
//
// Before login a command has 16 KB, and all of it login_timeout. After it one has
// the size of a script and 16 KB. Memory grows with what has arrived. A literal up
// to 16 MB is read and refused, as RFC 5804 §1.2 wants it; behind a longer one,
// behind eleven faults, and where nobody can say where the next command begins,
// the connection ends with BYE. What has come in clear text behind STARTTLS is
// never looked at: it ends the connection.
//
// # Left out
//
// The extensions REFERRAL (nobody is sent elsewhere) and OWNER for others than the
// user himself; SASL security layers; LANGUAGE has English only. TLS on connect is
// not offered: RFC 5804 has no port for it.
package managesieve
