// Package password verifies and makes stored passwords in Dovecot's notation,
// "{SCHEME}hash", so that accounts can come from Dovecot and go back to it.
//
// What verifies: ARGON2ID, ARGON2I, BLF-CRYPT, SHA512-CRYPT, SHA256-CRYPT,
// PBKDF2, SCRAM-SHA-256, SCRAM-SHA-1, and with a warning of the caller's (Weak)
// MD5-CRYPT, SSHA512, SSHA256, SSHA, SMD5, SHA512, SHA256, SHA1 (SHA), PLAIN-MD5
// (LDAP-MD5, MD5) and PLAIN (CLEARTEXT, CLEAR); CRYPT for any of the "$…$"
// hashes. A suffix .hex, .b64 or .base64 says how the value is written. A value
// without {SCHEME} is read by its own prefix ("$argon2id$", "$2y$", "$6$" …),
// else as the scheme of Options.Default, else it is an error: a password in
// clear text has to say {PLAIN}.
//
// New passwords are ARGON2ID with 19 MiB, two passes and one lane, the least
// that OWASP asks for. On the smallest machine that runs us (two cores, 2 GB)
// that is 20 to 70 ms and at most 38 MiB for two logins at once. Dovecot's own
// default takes 64 MiB and five times as long for every login; bcrypt costs an
// attacker with graphics cards far less, and reads only 72 bytes.
//
// SCRAM needs a stored password of its mechanism's scheme, or PLAIN; no other
// hash can do it. Who has none gets made-up keys with a salt that stays, so that
// the exchange tells nobody who is there. It still does where a store mixes
// hashes of several iteration counts: the made-up ones are those of most.
//
// App passwords (NewApp, MatchesApp) are random, and need no slow hash. They
// are for PLAIN and LOGIN: SCRAM has one salt for a user, who may have fifty.
//
// A Pool bounds what hashing may take: so many at once as there are processors
// to run on, and a budget of bytes for argon2. The parameters of a stored hash
// are checked before anything is allocated: one that asks for more memory than
// the budget, or for more than about two seconds, is an error.
//
// Left out, and refused by name: DES-CRYPT and PLAIN-TRUNC, which read a part of
// a password, PLAIN-MD4, yescrypt, and what serves mechanisms that are not
// spoken here (CRAM-MD5, DIGEST-MD5, OTP …). Dovecot ignores what stands behind
// a third "$" of a bare MD5-CRYPT; here it is an error. A password of more than
// MaxBytes, with a NUL or empty never matches: crypt(3) would cut it at the NUL.
// bcrypt ignores what comes after 72 bytes, in Dovecot and here; a new one is
// not made from a longer password.
package password
