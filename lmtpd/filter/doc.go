// Package filter runs users' Sieve scripts (package sieve) for delivery: it finds
// them where Pigeonhole keeps them, gathers what they may know, and makes a Plan
// of what they decide.
//
//	p := f.Plan(ctx, m)    // nil: no script has a say
//	f.Send(ctx, p)         // redirect, vacation, notify: durable in the spool
//	for _, c := range p.Copies { … } // written by the caller, durable
//	f.Done(ctx, p)         // what duplicate saw, the user's log
//
// The order is what keeps a message from being lost: the spool holds a
// redirected one before the copy in the mailbox is left out, and a mail that
// cannot be sent becomes a copy. Killed between any two steps, the message comes
// again from Postfix with the same Source. Its scripts then decide as before,
// because marks of the same message do not count; what was sent is noted and not
// sent again; and package maildir knows the copies. A kill between the spool and
// the note of it sends one mail twice.
//
// The scripts are the administrator's before, in turn, the user's active one, or
// the default one where there is none, and the administrator's after. They are
// kept compiled as long as the files are the same: device, inode, size, times,
// and the content of what they include. A script that fails, or exceeds its
// budget, leaves the message where it goes without one; ~/.dovecot.sieve.log
// tells the user, and is moved aside at 10 KB.
//
// A keep without a folder goes to where the message goes without a script: the
// inbox, the folder of the detail, or Junk for mail that is marked as spam. For
// the last one scripts run only with filter_junk.
//
// Redirect, vacation and notify count against the user's outgoing limits, and
// stop while the user is held or disabled. A redirect that leaves has the sender
// rewritten by SRS, and goes without the fields that this delivery put on top.
// Ereject answers 550 only where the milter's own Authentication-Results prove
// the envelope sender: SPF for its domain, a signature of it or of a domain
// above, or a login; and reject sends its notice only then. Else the message is
// kept in Junk.
//
// Flags become letters of the Maildir's info. A keyword has one where the
// folder's dovecot-keywords gives it, which only Dovecot writes; others are left
// out, and the log says so. Special uses are those of the settings, because the
// Maildir does not know them.
//
// Limits: the score of spamtest is held against the server's threshold, and is
// that of spam where, and only where, the verdict for the recipient says so; a
// virus is never known; an address of the user's is one that leads to nobody
// else; aliases that another process changed count after a minute; limits of new recipients take everybody for known. A
// message above message_size_limit is not filtered.
package filter
