package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatepost/gatepost/internal/firewall"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// placeholder is a name in braces.
var placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)

func placeholders(word string) []string {
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(word, -1) {
		names = append(names, m[1])
	}
	return names
}

// values are what stands for the placeholders.
func values(c Change) map[string]string {
	b := c.Ban
	v := map[string]string{
		"network": netaddr.String(b.Network), "family": "ipv4", "services": strings.Join(closable(b.Services), ","), "ports": portsOf(b.Services),
		"seconds": strconv.FormatInt(int64(b.left()/time.Second), 10), "until": b.Until.UTC().Format(time.RFC3339), "action": "ban", "id": b.ID,
	}
	if b.Network.Addr().Is6() {
		v["family"] = "ipv6"
	}
	if c.Lifted {
		v["action"] = "lift"
	}
	return v
}

// closable leaves out what is never closed below SMTP: port 25.
func closable(services []string) []string {
	var out []string
	for _, s := range services {
		if firewall.Ports(s) != nil {
			out = append(out, s)
		}
	}
	return out
}

func portsOf(services []string) string {
	var all []string
	for _, s := range services {
		for _, p := range firewall.Ports(s) {
			all = append(all, strconv.Itoa(int(p)))
		}
	}
	return strings.Join(all, ",")
}

// words fills in the placeholders. What is filled in is not looked at again.
func words(argv []string, c Change) []string {
	v := values(c)
	out := make([]string, len(argv))
	for i, word := range argv {
		out[i] = placeholder.ReplaceAllStringFunc(word, func(m string) string { return v[m[1:len(m)-1]] })
	}
	return out
}

// command starts a program for each change. It is used by one goroutine.
type command struct {
	argv    []string
	timeout time.Duration
	// ends says that the program itself ends a ban, after {seconds}.
	ends bool
	// done are the bans that it was called for, before those that it was called
	// for by an earlier process; nil until the file was read.
	done, before map[netip.Prefix]Ban
	told         told
}

func newCommand(cfg CommandConfig) *command {
	c := &command{argv: cfg.Argv, timeout: cfg.Timeout.Std(), done: map[netip.Prefix]Ban{}, told: told{path: cfg.Told}}
	for _, word := range cfg.Argv {
		c.ends = c.ends || strings.Contains(word, "{seconds}") || strings.Contains(word, "{until}")
	}
	return c
}

func (c *command) apply(ctx context.Context, ch Change) error {
	if len(closable(ch.Ban.Services)) == 0 {
		return fmt.Errorf("%w: it is for port 25 only", errKnown)
	}
	// A ban is noted before: once too often lifted does no harm. That the note
	// could not be kept is told, and keeps nobody from being banned.
	var noted error
	if !ch.Lifted {
		noted = c.told.note(ch)
	}
	if err := c.run(ctx, words(c.argv, ch)); err != nil {
		return errors.Join(err, noted)
	}
	if ch.Lifted {
		delete(c.done, ch.Ban.Network)
		delete(c.before, ch.Ban.Network)
		return c.told.note(ch)
	}
	c.done[ch.Ban.Network] = ch.Ban
	delete(c.before, ch.Ban.Network)
	return noted
}

// sync calls the program for what it was not called for yet, and lifts what it
// was called for and does not hold.
func (c *command) sync(ctx context.Context, all []Ban) error {
	var errs []error
	now := time.Now()
	if c.before == nil {
		before, err := c.told.read()
		if c.before = before; err != nil {
			errs = append(errs, err)
		}
	}
	hold := map[netip.Prefix]bool{}
	for _, b := range all {
		if len(closable(b.Services)) > 0 { // one of port 25 does not hold the logins'
			hold[b.Network] = true
		}
	}
	for _, of := range []map[netip.Prefix]Ban{c.before, c.done} {
		errs = append(errs, c.lift(ctx, of, hold, now)...)
	}
	for _, b := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		was, ok := c.done[b.Network]
		if ok && was.ID == b.ID && was.Until.Equal(b.Until) {
			continue
		}
		if err := c.apply(ctx, Change{Ban: b}); err != nil && !errors.Is(err, errKnown) {
			errs = append(errs, err)
		}
		if len(errs) >= maxFaults {
			break // it fails for all of them
		}
	}
	return errors.Join(append(errs, c.told.replace(c.before, c.done))...)
}

// lift calls the program for those of a list that do not hold. A ban that is over
// is lifted where the program does not know of its end.
func (c *command) lift(ctx context.Context, list map[netip.Prefix]Ban, hold map[netip.Prefix]bool, now time.Time) (errs []error) {
	for p, b := range list {
		switch {
		case hold[p]:
		case c.ends && !b.Until.After(now):
			delete(list, p)
		case len(errs) < maxFaults:
			if err := c.apply(ctx, Change{Ban: b, Lifted: true}); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

func (c *command) close() error { return c.told.close() }

const (
	// maxTalk bounds what is kept of what a program says.
	maxTalk = 4 << 10
	// maxFaults is after how many a list is tried again later.
	maxFaults = 5
)

// run starts the program in a process group of its own, so that what it starts
// ends with it.
func (c *command) run(ctx context.Context, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	talk := &bounded{}
	cmd.Stdout, cmd.Stderr = talk, talk
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	first, _, _ := strings.Cut(strings.TrimSpace(talk.buf.String()), "\n")
	return fmt.Errorf("command %s: %w: %s", argv[0], err, strconv.QuoteToASCII(first))
}

// bounded is a buffer that drops what is above its bound.
type bounded struct{ buf bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.buf.Write(p[:min(len(p), max(0, maxTalk-b.buf.Len()))])
	return len(p), nil
}
