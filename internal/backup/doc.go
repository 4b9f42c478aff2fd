// Package backup copies all that a Gatepost keeps into a set, while it runs, and
// puts a set back.
//
// A set is a directory with
//
//	data/...              the data directory (see below)
//	config/gatepost.yaml  the configuration
//	files/...             files that it names, by their absolute path
//	manifest.json         what is in it: size and SHA-256 of each file, counts
//	manifest.sha256       the checksum of manifest.json, for sha256sum -c
//
// It is made under a hidden name (prefix ".") and gets its own, by which alone a
// restore finds it, once all is checked and on the disk. A kill leaves a hidden
// directory, which the next backup removes.
//
// # Who copies
//
// The process that owns the files writes them as one tar stream (Source), and
// who asked for it receives and keeps them (Builder): that is root, who may write
// where the mail user may not. Nothing is written beside the stores, so a backup
// can not fill the disk that mail comes to.
//
// # What makes the set one
//
// Databases are read transactions (sqlite.Snap), all begun within milliseconds
// before the first byte is copied. The order in which they begin is that in which
// each part may know less than the next one, and never more:
//
//  1. the weights of the learned filter: the file is opened, and a new one never
//     overwrites it. The journal notes a file of weights before it takes its
//     place, so the learn journal, which is next, knows these weights, and what
//     was learned after them is learned again at the start.
//  2. learn.db, features.db
//  3. accounts.db before state.db: a ban, hold or limit about an account that
//     the copy does not have hurts nobody; an account without its ban would.
//  4. journal.db: the story, of all before.
//  5. all other files: quarantine and outgoing mail, whose files come and go whole
//     by a rename. One that an older part tells of may have gone meanwhile: then
//     it was released or sent. State before outgoing means that a notice may be
//     told twice, never not at all.
//
// The keys and states of one domain are read twice until both are the same, so
// that a rotation is in the set as a whole or not at all.
//
// What was acknowledged before the stream begins is in the set, as far as the
// stores promise it to be on the disk: counters of limits may be a second older.
//
// # Putting it back
//
// Verify reads a set as a stranger's: names that stay inside (os.Root), regular
// files only, sizes and sums as the manifest says. Restore copies it into a
// hidden directory of the data directory, checks every database there, and moves
// the entries into their places last; what lay there moves aside. A marker tells
// of a restore that was killed between these moves (Unfinished). Beside the data
// directory nothing is written but the configuration and what lies in its
// directory: a set can not make root write anywhere else.
//
// Limits: at most 500,000 files. A file that is changed in place while it is
// copied, which none of ours is, would fail the backup. Temporary files, copies
// before migrations and damaged databases that were set aside are left out. Mail
// that waited in the outgoing spool is sent again after a restore.
package backup
