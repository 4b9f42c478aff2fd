// Package howto tests docs/howto/existing-server.md: the commands are taken
// from the page and run over Debian's own /etc, in a lab of their own.
package howto
