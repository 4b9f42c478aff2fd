// Package queue lists and holds mail in Postfix's queue. That takes root, which
// Gatepost never is: a helper in a unit of its own does it, without network and
// without settings, and knows four things only.
//
// The protocol is one line each way over a Unix socket, a request and its answer
// after the other:
//
//	list                 ok {"items":[…]}
//	hold 4XyZ1b2c3d      ok
//	release 4XyZ1b2c3d   no not in the queue
//	delete 4XyZ1b2c3d    ok
//
// The helper answers one user id, which the kernel tells it. It runs
// /usr/sbin/postqueue and /usr/sbin/postsuper, never a shell, and hands them
// nothing but an id of letters and digits: postsuper takes ALL for every
// message, so an id has six characters at least.
//
// Limits: postsuper says with exit code 0 that it found nothing, so its text is
// read, in English. A message that is being delivered when it is held may reach
// those who are in that delivery.
package queue
