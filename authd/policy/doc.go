// Package policy is a policy server for Dovecot's auth_policy (2.2 to 2.4): a
// Dovecot with passwords of its own asks before and after it looks at one, and
// reports how the login ended. The guard answers from memory, so that what it
// knows from here and from everywhere else closes this Dovecot too.
//
//	auth_policy_server_url = http://127.0.0.1:4001/
//	auth_policy_server_api_header = X-API-Key: the content of api_key_file
//	auth_policy_hash_nonce = a random text of this host's own
//
// It speaks HTTP on a TCP port, since auth_policy speaks nothing else, so it is
// off by default and has no door without a key: X-API-Key, or Authorization
// with Bearer or Basic (any user name, the key as password).
//
//	command=allow   {"status":-1,"msg":…} refused, 0 go on, n wait n seconds first
//	command=report  counts: success, or a wrong password by its hash
//	command=ping    {"status":"ok"}, as weakforced has it
//
// Dovecot asks allow twice in the same words, before and after the password; it
// waits for n > 0 before, and takes it as 0 after. The text of a refusal is
// shown to whoever logs in. What Dovecot does when nobody answers here is its
// auth_policy_reject_on_fail: by default it goes on.
//
//	srv, err := policy.New(cfg, policy.Deps{Guard: g, Journal: j, Meter: metrics}, log)
//	if err != nil {
//		return err
//	}
//	err = srv.Serve(ctx, ln)
//
// Left out: command=reset, because the key of a mail server should lift no
// bans; device_id and everything else that an administrator adds to
// auth_policy_request_attributes, nested or not, is read over. Dovecot before
// 2.4 does not tell unknown names from wrong passwords, so that here both are
// wrong passwords. Guesses at one account from one network that are under way at
// the same time are bounded as any (guard.Allow), by pwhash, so an administrator
// who takes that out of auth_policy_request_attributes takes the bound away;
// guesses at different accounts may pass allow together, and the one that is right
// among them meets the second allow. 2.4 was read, not run.
package policy
