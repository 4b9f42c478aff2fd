// Package sieve checks, compiles and runs Sieve scripts (RFC 5228) as
// Pigeonhole does at delivery. It decides and does nothing: a run takes a script,
// a message and facts, and returns a list of actions that the caller carries
// out.
//
//	s, err := sieve.Compile(src, sieve.Options{Name: "roundcube", Include: load})
//	// err is sieve.Errors: all faults with line and column
//	msg := sieve.NewMessage(rawmsg.Scan(raw, rawmsg.Default()))
//	res, err := sieve.RunAll(ctx, []*sieve.Script{before, s, after}, env, msg)
//	// err: keep the message in the INBOX and tell the user
//	for _, a := range res.Actions {
//		mails, reason, err := a.Mails(ctx, env, id) // redirect, vacation, notify, reject
//	}
//	// res.ImplicitKeep: file res.Message() too; then remember res.Marks
//
// The interpreter is ours: migadu/go-sieve v1.1.2, the best one in Go, passes 48
// of the suite's 132 files against our 131, decides and acts in one, and has
// neither a binary form nor a bound on work, all of which sit too deep in it to
// be added around it.
//
// Extensions: fileinto, envelope, encoded-character, copy, reject, ereject,
// imap4flags, variables, relational, comparator-i;ascii-numeric and
// i;unicode-casemap, subaddress, environment, body, vacation,
// vacation-seconds, regex, date, index, editheader, mailbox, special-use,
// duplicate, include, ihave, spamtest, spamtestplus, virustest, extlists,
// enotify (mailto), foreverypart, mime, extracttext, vnd.dovecot.debug,
// vnd.dovecot.environment. The tests of Pigeonhole's own suite run as they are
// (make conformance).
//
// Bounds: a script has at most 1 MB, what it includes 4 MB; blocks and tests
// nest 32 deep, a command takes 32 arguments, a list 10,000 strings, an
// identifier 32 characters; 255 local and 255 global variables; a regular
// expression 4 KB and 4,000 steps of program, all constant ones together
// 200,000. Limits holds the rest: actions, redirects, notifications, the size
// of variables, includes and steps, which count work and not time, so that a
// script does the same on every host. Decoded bodies are looked at up to 1 MB
// a part and 8 MB a message.
//
// What differs from Pigeonhole: regular expressions are RE2, without back
// references; redirect :list, include of a name with a slash, fcc and
// mboxmetadata are not known; a folder name is checked for UTF-8, control
// characters and length alone, the store says the rest; text that addheader
// writes becomes encoded words. :list asks lists by exact value, and a matching
// value is ${0}.
package sieve
