package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/firewall"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// childEnv makes the test binary the one process of a network namespace.
const childEnv = "GATEPOST_SINK_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestFromGuessToKernel: the fifth wrong password, the guard, the sink, the
// helper and the kernel, measured by connections: a new one is not answered any
// more 50 ms after the answer to the fifth.
func TestFromGuessToKernel(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		if os.Getenv("CI") != "" {
			t.Fatal("a network namespace needs root")
		}
		t.Skip("a network namespace needs root")
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// nowhere keeps nothing.
type nowhere struct{}

func (nowhere) Put(context.Context, state.Table, state.Entry, bool) error { return nil }
func (nowhere) Delete(context.Context, state.Table, string) error         { return nil }
func (nowhere) List(context.Context, state.Table, string) ([]state.Entry, error) {
	return nil, nil
}
func (nowhere) Record(journal.Record) {}

// banOf is what the wiring does with a ban of the guard.
func banOf(b guard.Ban) Ban {
	return Ban{ID: b.ID, Network: b.Network, Services: b.Services, Reason: b.Reason, Since: b.Since, Until: b.Until}
}

func child(dir string) error {
	setup := []string{"link set lo up", "addr add 198.51.100.1/32 dev lo", "addr add 198.51.100.8/32 dev lo"}
	for _, a := range attackers() {
		setup = append(setup, "addr add "+a+"/32 dev lo")
	}
	for _, arg := range setup {
		if out, err := exec.Command("ip", strings.Fields(arg)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w %s", arg, err, out)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	path := filepath.Join(dir, "s")
	ln, err := listen.Unix(path, 0o600)
	if err != nil {
		return err
	}
	go func() { _ = firewall.NewHelper(os.Getuid(), quiet).Serve(ctx, ln, 0) }()
	cfg := Default()
	cfg.Nftables.Mode, cfg.Nftables.Socket = unit.Enforce, path
	var g *guard.Guard
	s, err := New(cfg, func(ctx context.Context) ([]Ban, error) {
		var all []Ban
		bans, err := g.Bans(ctx)
		for _, b := range bans {
			all = append(all, banOf(b))
		}
		return all, err
	}, quiet)
	if err != nil {
		return err
	}
	g, err = guard.New(ctx, guard.Default(), guard.Deps{State: nowhere{}, Journal: nowhere{}, Changed: func(c guard.Change) {
		s.Changed(Change{Ban: banOf(c.Ban), Lifted: c.Lifted, Observed: c.Mode != unit.Enforce})
	}}, quiet)
	if err != nil {
		return err
	}
	go s.Run(ctx)
	for ctx.Err() == nil && s.Stats()[0].Behind { // until the first list is in the kernel, which nobody tells
		time.Sleep(time.Millisecond)
	}
	return guess(ctx, g)
}

// attackers are several, because a machine may be busy: the quickest counts.
func attackers() []string {
	return []string{"198.51.100.11", "198.51.100.12", "198.51.100.13", "198.51.100.14", "198.51.100.15"}
}

// guess makes the guard ban addresses, and looks when the kernel drops them.
func guess(ctx context.Context, g *guard.Guard) error {
	server, err := net.Listen("tcp", "198.51.100.1:993")
	if err != nil {
		return err
	}
	defer server.Close()
	quickest := time.Hour
	for _, from := range attackers() {
		if !answered(from) {
			return errors.New("nobody answers before the ban")
		}
		for i := range 5 {
			g.Report(ctx, guard.Attempt{Addr: netip.MustParseAddr(from), User: "ann@example.org", Service: "imap", Mech: "PLAIN",
				Password: secret.String(fmt.Sprint("wrong", i))}, guard.Wrong)
		}
		start := time.Now()
		tried := time.Since(start)
		for answered(from) {
			if tried = time.Since(start); tried > 5*time.Second {
				return fmt.Errorf("%v after the ban a connection is answered", tried)
			}
		}
		fmt.Printf("a connection %v after the fifth wrong password was answered is dropped\n", tried)
		quickest = min(quickest, tried)
	}
	if quickest > 50*time.Millisecond {
		return fmt.Errorf("it took %v until a packet was dropped", quickest)
	}
	if !answered("198.51.100.8") {
		return errors.New("another address is shut out, too")
	}
	from := attackers()[0]
	if err := g.Remove(ctx, netip.MustParsePrefix(from+"/32")); err != nil {
		return err
	}
	for deadline := time.Now().Add(5 * time.Second); !answered(from); {
		if time.Now().After(deadline) {
			return errors.New("a ban that is lifted holds in the firewall")
		}
	}
	return nil
}

// answered reports whether a connection from an address is.
func answered(from string) bool {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 200 * time.Millisecond}
	conn, err := d.Dial("tcp", "198.51.100.1:993")
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
