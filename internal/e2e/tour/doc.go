//go:build linux

// Package tour walks through Gatepost's main job in a lab, in six steps with
// real clients, and writes a transcript that a postmaster can read. An "ok"
// in it shows what the peer said: an SMTP reply, a message fetched by IMAP, a
// line of a verifier or of the command line. The demo prints it, and the
// end-to-end tests run the same steps.
package tour
