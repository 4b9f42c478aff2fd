package main

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/stated"
)

// daemonDir is the directory of a daemon that asks, beside the data directory. Who
// owns it is that daemon: root makes both, as systemd's StateDirectory= does.
func daemonDir(cfg Config, daemon string) string { return cfg.DataDirectory + "-" + daemon }

// peers returns what a user may ask the keeper for: it looks at each connection
// whose directory belongs to whom, so that a daemon may be set up while the keeper
// runs.
func peers(cfg Config) func(uid int) stated.Grant {
	return func(uid int) (g stated.Grant) {
		if uid == 0 || uid == os.Geteuid() || !safePlace(cfg, os.Geteuid()) {
			return g
		}
		for _, d := range stated.Daemons() {
			if owner, ok := placeOwner(daemonDir(cfg, d)); ok && owner == uid {
				g = g.And(stated.GrantOf(d))
			}
		}
		return g
	}
}

// userPrefix begins the name of the user that each daemon has in the shipped units.
const userPrefix = "gatepost-"

// placeOwner returns whose a directory is; a link is nobody's.
func placeOwner(path string) (uid int, ok bool) {
	st, err := os.Lstat(path)
	if err != nil || !st.IsDir() {
		return 0, false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(sys.Uid), true
}

// safePlace reports whether nobody but root and owner can make a directory beside
// the data directory, or put another one in the place of those above it: somebody
// else could make himself a daemon there.
func safePlace(cfg Config, owner int) bool {
	for dir := filepath.Dir(cfg.DataDirectory); ; dir = filepath.Dir(dir) {
		st, err := os.Lstat(dir)
		if err != nil || !st.IsDir() {
			return false
		}
		// In a directory with the sticky bit nobody moves what is another's, but
		// everybody makes something: it may be above, not beside.
		sticky := st.Mode()&os.ModeSticky != 0 && dir != filepath.Dir(cfg.DataDirectory)
		uid, ok := placeOwner(dir)
		if !ok || uid != 0 && uid != owner || st.Mode().Perm()&0o022 != 0 && !sticky {
			return false
		}
		if dir == "/" {
			return true
		}
	}
}

// stateServer serves what the daemons of the split shape ask for.
func (r *reloader) stateServer() *stated.Server {
	s := r.stores
	return stated.New(stated.Parts{
		Build: version,
		State: s.own.hub, Accounts: s.accounts, Journal: s.own.journal, Learn: s.own.learn, Quarantine: s.own.quarantine,
		Outgoing: s.senders.queue, Notices: s.senders.told, Abuse: s.senders.own, Keys: s.own.keys,
		SRS:   func() ([]secret.Value, error) { return s.srsKeys(r.start.srsKeyFile()) },
		Seals: func() string { return *s.own.seal.Load() },
	}, peers(r.start), r.log)
}
