// Package tail reads what foreign programs write of failed logins: sshd, a
// webmail. Mail needs none of it: our own daemons see every login themselves, and
// no mail log is read.
//
// What a program logs holds what a stranger typed. So a pattern is a regular
// expression of RE2, which takes linear time; it has to match the whole line, so
// it begins with ^ and ends with $ (or \z) in each of its branches; and it has one group "addr",
// which has to be an address and nothing else, and perhaps one "user". A line of
// syslog is cut first: the name of the program comes from its header, never from
// the text.
//
// A file is followed by its name: when it is rotated the rest of the old one is
// read first, when it is cut it is read from its start. The place is kept in a
// file over a restart, and is written before an event is told: after a crash a
// failure may be missed, none counts twice. A file without a place is read from
// its end on. Reading begins where a line does: a part of one could be a name that
// looks like a line.
//
// The systemd journal is read by journalctl, which we start without a shell; its
// cursor is the place. The process needs the right to read either: see
// docs/howto/from-fail2ban.md.
//
// Limits: lines above 8 KB are skipped; what is behind by more than 4 MB is
// skipped; a rotated file is looked for as NAME.1 only; events count from when
// they are read. A file is looked at twice a second. Who may write to a log can
// have anybody counted: a journal's unit is the kernel's word, a file's lines
// are not.
package tail
