// Package e2e holds the end-to-end tests: Gatepost with Debian's Postfix and
// Dovecot, configured by the files in examples/. They run with the tag e2e, as
// root, in a network of their own (package lab).
package e2e
