// Package maildir writes messages into Maildir++ mailboxes so that none is lost
// once it said so: a file is whole and on the disk, and so is its name, before
// Deliver returns a Stored.
//
// The steps are those of the Maildir standard (https://cr.yp.to/proto/maildir.html):
// create tmp/NAME exclusively, write, fsync, rename into new without
// overwriting, fsync new. Deliveries into one directory that finish together
// share its sync; copies of one message share a file (hard links), where the
// file system has them. Lines end in LF on the disk; a bare CR and a NUL stay as
// they came. The final name tells the exact sizes (",S=…,W=…"), which Dovecot
// takes on trust. Folders are Maildir++ (".Junk" beside new, cur and tmp), their
// names in modified UTF-7. What we make in a mailbox has the mode of the
// directory above it. What is left in tmp for 36 hours is removed.
//
// A message with a Source has 128 bits of its Key's hash in its final name, so
// that it is known when it comes again: there is no record that could be lost or
// be ahead of the file. A mailbox is looked through only for what this process
// may not be the first to try.
//
// A mailbox is at ROOT/DOMAIN/LOCALPART/Maildir. Below the mail root every
// directory is opened from its parent (openat) and no symbolic link is
// followed, so that a link planted in a home leads nowhere. os.Root would keep
// us below the root, but follows links that stay there, into another user's
// mailbox; so it is not used.
//
// Of Dovecot's own files two are written, by its rules: maildirsize where a
// quota is asked for, and subscriptions when a folder is made. dovecot-uidlist,
// dovecot.index* and dovecot-keywords are left alone.
//
// Limits: one mail user owns all mailboxes and this process runs as it; one that
// belongs to another uid is refused (ErrOwner). Folders of LAYOUT=fs are refused
// (ErrLayout). Two processes that deliver into the same mailboxes do not know of
// each other's first tries: what comes again to the other one within its life is
// delivered twice. A user who moves or deletes a message before it comes again
// gets it again. Copies that share a file count fully on each quota of
// maildirsize, and once on one of the file system.
package maildir
