package main

import (
	"fmt"
	"os"

	"github.com/gatepost/gatepost/internal/stated"
)

// split says whether the directories are those of the split shape, who owns the
// data then, and what is wrong with them.
func (f *findings) split(cfg Config) (owner int, is bool) {
	places := map[string]int{}
	for _, d := range stated.Daemons() {
		if uid, ok := placeOwner(daemonDir(cfg, d)); ok {
			places[d] = uid
		}
	}
	owner, ok := placeOwner(cfg.DataDirectory)
	if len(places) == 0 || !ok {
		return 0, false
	}
	if owner == cfg.MailUID {
		f.fault(fmt.Errorf("%s-* are there, so that daemons run as users of their own, but %s belongs to the mail user, and no state process can serve them", cfg.DataDirectory, cfg.DataDirectory),
			"systemctl enable --now gatepost@state; to go back to one process remove these directories")
		return owner, true
	}
	for d, uid := range places {
		switch {
		case uid == 0 || uid == owner:
			f.fault(fmt.Errorf("%s belongs to user id %d, which is no user of its own", daemonDir(cfg, d), uid),
				fmt.Sprintf("chown %s%s: %s", userPrefix, d, daemonDir(cfg, d)))
		case d == stated.Lmtpd && uid != cfg.MailUID:
			f.fault(fmt.Errorf("%s belongs to user id %d, but mail_uid is %d", daemonDir(cfg, d), uid, cfg.MailUID),
				fmt.Sprintf("chown %d:%d %s", cfg.MailUID, cfg.MailGID, daemonDir(cfg, d)))
		}
	}
	if os.Geteuid() == 0 && !safePlace(cfg, owner) {
		f.fault(fmt.Errorf("others than root can make directories beside %s, and by that become a daemon", cfg.DataDirectory),
			"let the directory above it be root's, mode 0755")
	}
	return owner, true
}
