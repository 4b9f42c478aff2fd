// Package account knows who is here: domains, users with what restricts their
// logins, app passwords, aliases, and who may send as whom. The interfaces hold
// no SQL: a driver is a Backend, and accounttest has the tests that each must
// pass. What a value has to be so that it can be stored, and whether an alias
// loops, is decided here for all drivers.
//
// SQLite keeps accounts in one file that one process has open (the command line
// asks the running server, and opens the file itself only when none runs), so
// a change that another process makes is not looked for. Package mysql keeps
// them where several hosts share them.
//
// The last use of an app password is on disk within a minute; a crash loses
// what is younger. AllowNets has no word for a login without an address, as
// Dovecot's "local" is: with AllowNets such a login is refused.
package account
