// Package torture proves of a real gatepost process that its delivery loses
// nothing, in two ways.
//
// Run kills the process with SIGKILL at random points while senders deliver,
// and starts it again. The senders do as Postfix does: they keep every message
// until it is answered with 250 for each recipient, and send the rest again. In
// the end every copy has to be there once, and whole. What was sent and answered
// is in a ledger on the disk, so that a run can be ended and taken up again, and
// every choice follows from a seed.
//
// Trace and Replay are the power cut: strace records what the process does to
// the disk and what it answers, and for each moment all that ext4 may leave of
// that is held against the answers given by then.
//
// Limits: the machine itself is never switched off, so that a disk that lies
// about a flush is not found. The rules of ext4 are those of data=ordered, and
// a second, harsher set in which a directory is only as new as its last fsync.
package torture
