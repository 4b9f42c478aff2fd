// Package watch learns from what users do in their Maildirs, without any Sieve
// script: a message that moves into Junk is spam, one that moves out of Junk to
// anywhere but Trash is ham, and one that was read and kept for a week, or
// answered, is probably ham.
//
// What happened is found by comparing what is there with what was there the
// last time, so that a move while we were away is found like any other. A
// message is known by its Maildir base name, the file name up to ":", which
// Dovecot keeps when it moves a message, and else by its inode. A move is what
// was seen in one place and is now only in another:
//
//   - a message that appears in Junk and was never seen elsewhere was filed, by
//     us or by Sieve, restored or appended: no learn, unless our own delivery
//     says that it had put it elsewhere;
//   - a copy leaves the message where it was: no learn until that is gone;
//   - what was gone for more than a minute before it appears again was
//     restored: no learn;
//   - a folder that was renamed to or from Junk begins anew; expunges and flags
//     are nothing.
//
// The kernel says which mailbox to look at (inotify, four watches a mailbox: the
// Maildir, its cur, Junk's cur and new). Where fs.inotify.max_user_watches does
// not allow that, the mailboxes beyond it are looked at every 15 minutes: the
// log and "learn status" say so. 3,000 mailboxes take 12,000 watches.
//
// Limits: a message older than 30 days that moves into Junk is not learned. A
// mail program that gives a message another name and another file when it moves
// it is not understood; neither is mail that nobody saw in the inbox's cur before
// it was in Junk, where our own delivery does not know it. Flags such as $Junk
// are not looked at. The names of folders are those of the disk (Maildir++);
// LAYOUT=fs is not known.
package watch
