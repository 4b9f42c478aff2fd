// Package admin is the HTTP side of a running Gatepost: what the command line
// asks of it, /metrics for Prometheus and /healthz.
//
// It listens on a Unix socket only, and only root and the user that Gatepost
// runs as get an answer: the kernel says who is there (SO_PEERCRED), not a
// header. There is no TCP listener, no
// password and no web page here.
//
// The interface is for the command line of the same version; it has no promise
// to anybody else.
package admin
