// Package fail2ban reads how fail2ban bans, and whom it bans now, and plans what
// of it Gatepost carries on.
//
// It is fail2ban 1.0.2 as Debian has it, and 1.1 as documented: jail.conf,
// jail.d/*.conf, jail.local, jail.d/*.local in this order, with [INCLUDES],
// [DEFAULT], %(name)s, %(known/name)s and times such as "1d 12h"; the table bips
// of its database, or what "fail2ban-client get JAIL banip --with-time" printed.
// Nothing is changed.
//
// Jails of logins that our own daemons see (dovecot, postfix-sasl, sieve, and
// postfix for its logins) become settings of the guard, those of a webmail and of
// ssh a log to watch. Everything else is in the notes, with the place, why, and
// what to do.
//
// Limits: includes outside of the directory are not read; filters, actions and
// regular expressions are named, never carried over; of sums in times + - * are
// understood; one guard stands for all jails, so the strictest of them gives the
// numbers. Files above 1 MB, more than 200 of them, or 10 includes in one another
// are an error.
package fail2ban
