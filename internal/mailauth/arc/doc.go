// Package arc verifies an Authenticated Received Chain and adds a set to it
// (RFC 8617): what forwarders said about a message before they changed it. It
// stands on package dkim, with which it shares the keys and the one reading of
// the body:
//
//	m := dkim.NewMessage(raw)
//	keys := dkim.NewKeys(resolver)
//	defer keys.Wait()
//	v := arc.Start(ctx, m, keys, now)
//	m.ReadBody(ctx, body)
//	chain := v.Result()
//
// A chain that passes says who handled the message, not that any of them is
// honest: that is for a list of trusted forwarders to say.
//
// Bounds: 50 sets (RFC 8617 §4.2.1), more are fail before a key is asked for;
// at most two keys for a set, and dkim.MaxKeys for a message: a chain whose seals
// have more keys than that is fail; each field is hashed once for all seals.
//
// An ARC-Message-Signature without c= is read as relaxed/relaxed, as the suite
// of the chain's authors has it.
//
// Limits: comments around i= of an ARC-Authentication-Results are not read,
// such a set is malformed. A key that DNS does not answer for makes the chain
// fail, as RFC 8617 has no other word; Result.Temporary tells, and Seal then
// refuses, so that one timeout does not end a chain for ever.
package arc
