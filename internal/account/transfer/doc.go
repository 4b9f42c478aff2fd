// Package transfer writes all that an account store knows into one file of JSON
// lines, and puts such a file into another store.
//
// The first line is a header with the version of the format, the last one has
// counts and the SHA-256 of all lines before it. Between them stands one row a
// line, in the order in which a store can take them; equal stores make equal
// files. Password hashes and the keys of our own are in it: it is as secret as
// the store.
//
//	{"kind":"header","format":"gatepost-accounts","version":1}
//	{"kind":"domain","name":"example.org"}
//	{"kind":"user","addr":"alice@example.org","password":"{BLF-CRYPT}$2y$…"}
//	{"kind":"end","counts":{"domain":1,"user":1},"sha256":"…"}
//
// Import reads a file to its end before it writes the first row, so a damaged
// one changes nothing. It is resumed by running it again: rows that are there
// and equal are passed over, and those that differ are told. At last the store is
// read again and held against the file.
//
// Left out are what a store counts for itself (ids, when a user last changed)
// and the rates of a group that nobody is in. The last use of an app password
// moves with it, but no difference is told for it: it moves on while a server
// runs. A store must not be changed by others while it is exported, or the file
// may have one half of the change.
package transfer
