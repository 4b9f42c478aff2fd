// Package maps holds lists of one's own, in files: addresses, domains,
// networks, regular expressions and hashes, each with points and a comment.
//
// A file has one entry on a line:
//
//	# a comment
//	bad.example 5            # points of its own; and a comment that the line shows
//	bob@good.example -3
//	203.0.113.0/24
//	/cheap\s+watches/i 4     # regular expressions stand between slashes
//
// An address is a mailbox, whatever the case; a domain is also all that is
// below it; of networks the longest counts; a regular expression is RE2 (no
// backtracking), with the flags i, m and s; a hash is the SHA-256 of an
// attachment or of an e-mail address in lower case, in hexadecimal.
//
// A file is read again when it changes (fsnotify on its directory, and a look
// every minute for where that does not work) and on Reload. It is taken whole
// or not at all: one with a fault, without the line end of its last line, or
// empty, is most likely half written, and the old one stays in force until the
// file is right. Who wants an empty map leaves a comment in it.
//
// Entries of a map that is asked about From or MAIL FROM and take points away
// count only where the domain is proved (DMARC, DKIM or SPF), unless the map
// says otherwise: anybody can write that field.
//
// Bounds: maxFile bytes, maxEntries lines, maxLine bytes a line; maxPatterns
// regular expressions of maxProgram instructions together, which read maxWork
// bytes of a message: with many expressions the last links of a long message are
// not held against them.
package maps
