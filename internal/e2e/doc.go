// Package e2e holds the end-to-end tests: Gatepost with Debian's Postfix and
// Dovecot, configured by the files in examples/. They run with the tag e2e, as
// root, in a network of their own (package lab).
//
// The tests of a package share one lab, because starting one takes seconds,
// and run one after another: some stop gatepost, and start it again. Labs
// themselves know nothing of each other, so that packages, and several runs on
// one machine, may go on at the same time.
package e2e
