// Package password verifies and makes stored passwords in Dovecot's notation,
// "{SCHEME}hash", so that accounts can come from Dovecot and go back to it.
//
// Schemes: ARGON2ID, BLF-CRYPT, SHA512-CRYPT, SHA256-CRYPT, PLAIN, and CRYPT
// for any of the "$…$" hashes. A hash without {SCHEME} is read by its own
// prefix: "$argon2id$", "$2y$" (also 2a and 2b), "$6$", "$5$". A value that is
// neither is an error: a password in clear text has to say {PLAIN}.
//
// New passwords are ARGON2ID with 19 MiB, two passes and one lane, the least
// that OWASP asks for. On the smallest machine that runs us (two cores, 2 GB)
// that is 20 to 70 ms and at most 38 MiB for two logins at once. Dovecot's own
// default takes 64 MiB and five times as long for every login; bcrypt costs an
// attacker with graphics cards far less, and reads only 72 bytes.
//
// A Pool bounds what hashing may take: so many at once as there are processors
// to run on, and a budget of bytes for argon2. The parameters of a stored hash
// are checked before anything is allocated: one that asks for more memory than
// the budget, or for more than about two seconds, is an error.
//
// Left out: the schemes that Dovecot lists besides, and the suffixes .b64 and
// .hex. A password of more than MaxBytes, with a NUL or empty never matches:
// crypt(3) would cut it at the NUL. bcrypt ignores what comes after 72 bytes,
// in Dovecot and here; a new one is not made from a longer password.
package password
