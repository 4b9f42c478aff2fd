// Package abuse notices that an account sends as its owner never did: that its
// password was stolen.
//
// Each account is held against its own habit of the last 30 days, and what is
// odd about the last hour gives points: recipients and distinct recipients,
// recipients that were refused, messages whose header From is not the envelope
// sender, null senders, many networks or countries, messages that the filter
// marks, and mail seconds after a login from a network that is new. Points have
// a cap for each family of signals, so that at least two families stand behind
// a hold: much mail alone is what limits are for, and a wedding invitation is
// no theft.
//
// Nobody can hold another's account from outside. What counts was done by
// somebody who had logged in as the account. A delivery status notification
// counts only if it names a message that the account sent, and a recipient of
// that message who has not failed before. Unless our Postfix wrote it, which
// knows the queue id, it counts once for a message, and all of them never give
// more than three points.
//
//	w, err := abuse.New(ctx, abuse.Default(), abuse.Deps{State: store, Act: keeper}, log)
//	if err != nil {
//		return err
//	}
//	go w.Run(ctx)
//	w.Sent(abuse.Sent{User: "alice@example.org", …})
//
// The hooks (Sent, Refused, Login, Bounced) only put an event into a queue, and
// drop it, counted, when that is full: no mail waits for them. Decide is pure.
//
// An hour begins to count as habit when it is a day old, so that a thief can
// not teach the watcher within hours; until the watcher has run for
// Config.Settle it holds nobody. A signal whose source is missing says that it
// is not watched.
//
// Limits: the hour in hand and up to a minute of habit are lost by a crash; of
// a message the first 100 recipients can be matched with notifications; more
// than 4096 distinct recipients or 256 networks in an hour are not told apart;
// of several hosts that share a state each sees what an account does there alone,
// so that over n hosts a thief may send n times as much before the first of them
// holds the account, which then holds on all; limits (policyd) count over all
// hosts. The habit of the host that writes last is kept: to merge them would bring
// back the day that Forgive took out on another.
package abuse
