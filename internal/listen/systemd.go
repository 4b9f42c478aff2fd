package listen

import (
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
)

// Systemd returns the Unix listeners that systemd passed to this process
// (sd_listen_fds(3)), by their path: the path is what Postfix's and Dovecot's
// configuration names, so a socket unit needs no second name for it. Without
// socket activation the map is empty. It may be called once.
func Systemd() (map[string]net.Listener, error) {
	lns, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	out := make(map[string]net.Listener, len(lns))
	for _, ln := range lns {
		u, ok := ln.(*net.UnixListener)
		if !ok {
			return nil, fmt.Errorf("sockets from systemd: one is no Unix stream socket")
		}
		u.SetUnlinkOnClose(false) // systemd goes on listening there
		out[u.Addr().String()] = u
	}
	return out, nil
}
