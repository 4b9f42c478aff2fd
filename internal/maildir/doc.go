// Package maildir writes messages into Maildir++ mailboxes so that none is lost
// once it said so: a file is whole and on the disk, and so is its name, before
// Deliver returns a Stored.
//
// The steps are those of the Maildir standard (https://cr.yp.to/proto/maildir.html):
// create tmp/NAME exclusively, write, fsync, rename into new without
// overwriting, fsync new. Lines end in LF on the disk; a bare CR and a NUL stay
// as they came. The final name tells the exact sizes (",S=…,W=…"), which Dovecot
// takes on trust. Folders are Maildir++ (".Junk" beside new, cur and tmp).
//
// A mailbox is at ROOT/DOMAIN/LOCALPART/Maildir. Below the mail root every
// directory is opened from its parent (openat) and no symbolic link is
// followed, so that a link planted in a home leads nowhere. os.Root would keep
// us below the root, but follows links that stay there, into another user's
// mailbox; so it is not used.
//
// What is Dovecot's own is left alone: dovecot-uidlist, dovecot.index*,
// dovecot-keywords, subscriptions. A new Junk folder is therefore shown by
// every client only where Dovecot has "mailbox Junk { auto = subscribe }".
//
// Limits: one mail user owns all mailboxes and this process runs as it; files
// are 0600 and directories 0700. No quota is kept: maildirsize is read for others
// and not written, so that Dovecot learns of our mail with its next count. Folder names are plain ASCII. Several recipients get a file each,
// no hard links. What a killed process left in tmp is not removed here: Dovecot
// does that after 36 hours.
package maildir
