//go:build linux

// Package lab is a small internet on one machine: Postfix, Dovecot and
// gatepost from the files in examples/, a DNS server, a next hop, strangers,
// users and their clients, in network, mount and process namespaces of its
// own. The end-to-end tests and the demo run in it.
//
// [Enter] re-executes the program inside fresh namespaces, so real ports and
// real paths are used and several labs run side by side. Scratch directories
// under /tmp/gp-XXXXXX are mounted over /etc/postfix, /etc/dovecot, /etc/ssl,
// /var/spool/postfix, /var/lib/postfix, /var/lib/dovecot and /run: the files
// of examples/ are used as they stand, and those of the machine are neither
// read nor written. What the lab sets otherwise is in the lists
// [PostfixOverrides] and [DovecotOverrides]. When the first process of the
// namespace ends, the kernel ends the others.
//
// Everything waits for an event (a greeting, a line, a file) with a deadline
// that prints the last lines of every log; nothing sleeps for a fixed time.
//
// A lab needs root, and the packages that .ci/deps.sh names.
package lab
