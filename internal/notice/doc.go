// Package notice tells the administrator, and the user whom it concerns, that
// something was stopped: a limit that was reached, an account whose sending is
// held. It goes by mail (package outgoing), to a webhook, and into the journal.
//
// The same thing is told once in a window: who reaches a limit a thousand times
// gets one mail. What is told is remembered in the state, so a restart repeats
// nothing.
//
// Texts are templates (text/template), a file for each kind and reader:
// hold.admin.txt, hold.user.txt, limit.admin.txt and so on; the first line is
// the subject, and a file in Config.Templates takes the place of ours. A template
// has fields, "if", and "range" over .Lines or .Facts; nothing else, so that no
// template runs for long or writes more than 64 KB.
//
// The webhook gets a POST with the JSON of an Event, three times at most, and
// while it fails none for a minute: a server that is down is not hammered.
//
// Limits: the webhook is not durable; what waits for it when the process ends,
// or is above 100 events, is lost, and counted. Mail is durable (package
// outgoing).
package notice
