package listen

import (
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
)

// Systemd returns the stream listeners that systemd passed to this process
// (sd_listen_fds(3)), by the FileDescriptorName= of their socket unit. Without
// socket activation the map is empty. It may be called once.
func Systemd() (map[string]net.Listener, error) {
	named, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	out := make(map[string]net.Listener, len(named))
	for name, lns := range named {
		for _, ln := range lns {
			if ln == nil {
				continue // a descriptor that is no stream socket
			}
			if out[name] != nil {
				return nil, fmt.Errorf("sockets from systemd: two are named %q", name)
			}
			out[name] = ln
		}
	}
	return out, nil
}
