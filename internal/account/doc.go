// Package account knows who is here: domains, users with what restricts their
// logins, app passwords, aliases, and who may send as whom. The interfaces hold no SQL, so that another database can stand
// behind them; accounttest has the tests that each must pass.
//
// SQLite keeps accounts in one file that one process has open (the command line
// asks the running server, and opens the file itself only when none runs), so
// a change that another process makes is not looked for.
//
// The last use of an app password is on disk within a minute; a crash loses
// what is younger. AllowNets has no word for a login without an address, as
// Dovecot's "local" is: with AllowNets such a login is refused.
package account
