// Package quarantine is the spool of messages that were taken from Postfix and
// are delivered to nobody yet: each waits as one file until an administrator
// releases or deletes it, or its time is over.
//
//	DIR/20261120/20261120-065535-k3f9x2.4XyZ1b2c3dzABC.quarantine
//	    "gatepost-quarantine 1 LENGTH\n", LENGTH bytes of JSON (Entry), the message
//	DIR/20261120/20261120-065535-k3f9x2.released
//	    JSON (Mark): who has it, once somebody has
//	DIR/tmp/    what is being written; emptied by Open
//
// The message is kept byte for byte as Postfix showed it to the milter, with
// CRLF. What a delivery would have changed is in the Entry (Edits), and is done
// when it is released (package release).
//
// Put writes to tmp, syncs, renames and syncs the directory before it returns,
// so that a kill at any point leaves nothing or a whole entry. What is killed
// after the rename and before the answer to Postfix is kept, and comes a second
// time when the sender tries again: a copy too many rather than one too few.
//
// File names have all that the index in memory needs (some 150 bytes an entry),
// so that it is read back from the directory at the start; List reads files.
//
// What goes first when Config.MaxBytes or MaxEntries is reached: what was
// released, then the oldest discarded, then the oldest quarantined; this is
// counted, and told once an hour. It never refuses a message. A disk with less
// than Config.MinFree left does: Put then fails with ErrFull, which is a 451.
//
// Limits: one process has the directory open. An entry is found by its id or
// Postfix's queue id; a search by address reads all files within its time.
package quarantine
