// Package script keeps the Sieve scripts of users where Pigeonhole keeps them,
// so that either may be used, and both at once:
//
//	HOME/sieve/NAME.sieve   the scripts
//	HOME/sieve/tmp          what is being written
//	HOME/.dovecot.sieve     a link to the active one: sieve/NAME.sieve
//
// which is Dovecot's "sieve = file:~/sieve;active=~/.dovecot.sieve". HOME is that
// of package maildir.
//
//	s := script.New(script.Config{Root: "/var/vmail", MaxBytes: 1 << 20})
//	err := s.Put(user, "holidays", src)
//	err = s.Activate(user, "holidays")
//
// A script is written beside, synced, and takes its place by a rename: a reader
// has the old one or the new one, also after a power cut. The link is changed in
// the same way. What changes a user's scripts is done one at a time, over all
// processes of ours (flock on the directory "sieve"); Dovecot knows no such lock,
// so that with both at once a quota may be overdrawn by one script.
//
// Below the mail root no symbolic link is followed but HOME/.dovecot.sieve, and
// that one is read and not followed. Scripts that are links are not listed. A
// regular file HOME/.dovecot.sieve is an active script without a name; when
// another one becomes active it is kept as "dovecot.orig", as Pigeonhole does.
//
// A name has at most 249 bytes, because the file system allows 255 with the
// ending: RFC 5804 §1.6 wants 512, which Pigeonhole cannot keep either.
package script
