//go:build linux

// Package boot tests gatepost as a real systemd runs it, from the units of
// contrib/systemd: with their sandbox, their sockets and their helpers.
package boot
