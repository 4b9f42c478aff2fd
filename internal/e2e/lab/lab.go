//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatepost/gatepost/internal/dnstest"
)

// Options is what one lab has otherwise than the examples say.
type Options struct {
	// Config is YAML added to the lab's gatepost.yaml.
	Config string
	// Postfix holds main.cf lines after PostfixOverrides, Master text at the
	// end of master.cf, Dovecot lines of local.conf.
	Postfix []string
	Master  string
	Dovecot []string
	// Existing makes the server what Debian's packages make it, without
	// Gatepost: examples/ are not used, and Start leaves gatepost to the
	// caller. All of /etc and /usr/local may be written to.
	Existing bool
}

// Lab is the running internet. Its methods may be used concurrently, except
// those that start and stop servers.
type Lab struct {
	Dir     string // the scratch directory
	DNS     *dnstest.Zone
	NextHop *Sink

	dns     *dnstest.Server
	opt     Options
	ctx     context.Context
	cancel  context.CancelFunc
	ca      *authority
	postfix *process
	dovecot *process
	gate    *process
	notify  *notify
}

// Start makes the namespaces that [Enter] entered into a host and starts
// everything, gatepost first. It may be called once in a process.
func Start(opt Options) (*Lab, error) {
	dir := os.Getenv(envDir)
	if dir == "" {
		return nil, errors.New("start lab: not inside its namespaces")
	}
	if err := setup(dir, opt.Existing); err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, DNS: dnstest.NewZone(), opt: opt}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.startAll(); err != nil {
		err = fmt.Errorf("start lab: %w\n%s", err, l.Tails(15))
		l.Stop()
		return nil, err
	}
	return l, nil
}

func (l *Lab) startAll() error {
	// First of all: Postfix's commands ask for the host's name at once.
	var err error
	if err := l.DNS.Add(strings.Join(zone, "\n")); err != nil {
		return err
	}
	if l.dns, err = dnstest.Start(net.JoinHostPort(dnsIP, "53"), l.DNS); err != nil {
		return err
	}
	if err := l.prepare(); err != nil {
		return err
	}
	if l.notify, err = newNotify(l.Dir); err != nil {
		return err
	}
	if l.NextHop, err = newSink(NextHopIP, NextHopIP6); err != nil {
		return err
	}
	if !l.opt.Existing {
		if err := l.StartGatepost(); err != nil {
			return err
		}
	}
	if err := l.StartPostfix(); err != nil {
		return err
	}
	return l.StartDovecot()
}

// prepare makes directories, certificates and configuration files.
func (l *Lab) prepare() error {
	var err error
	if l.ca, err = newAuthority(); err != nil {
		return err
	}
	if err := l.ca.issue("/etc/ssl", Hostname); err != nil {
		return err
	}
	if err := l.preparePostfix(); err != nil {
		return err
	}
	if err := l.prepareDovecot(); err != nil {
		return err
	}
	if l.opt.Existing {
		return l.prepareExisting()
	}
	return l.prepareGatepost()
}

// Stop ends every server. What it misses dies with the namespace.
func (l *Lab) Stop() error {
	errs := []error{l.StopPostfix(), l.StopDovecot(), l.StopGatepost()}
	if l.NextHop != nil {
		l.NextHop.close()
	}
	if l.dns != nil {
		errs = append(errs, l.dns.Close())
	}
	if l.notify != nil {
		l.notify.close()
	}
	l.cancel()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop lab: %w", err)
	}
	return nil
}

// NSEnter returns the command that takes a shell of root into the lab.
func (l *Lab) NSEnter() (string, error) {
	pid, err := os.ReadFile(filepath.Join(l.Dir, "pid"))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("nsenter --target %s --net --mount --pid", pid), nil
}
