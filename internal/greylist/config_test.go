package greylist

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
	for _, tc := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(c *Config) { c.Mode = "on" }, `mode: "on" is not a mode of greylisting: use off, suspicious or always`},
		{func(c *Config) { c.Delay = 0 }, "delay: 0ms is not between 1s and 1d"},
		{func(c *Config) { c.Window = c.Delay }, "window: 5m is not longer than delay, 5m"},
		{func(c *Config) { c.Keep = unit.Duration(time.Minute) }, "keep: 1m is not between 1h and 366d"},
		{func(c *Config) { c.AutoAllow = -1 }, "auto_allow: -1 is not between 0 and 1000"},
		{func(c *Config) { c.Clients = []netaddr.Prefix{{}} }, "clients[0]: is empty"},
		{func(c *Config) { c.OptOut = []string{"alice@example.org", "a b"} }, `opt_out[1]: "a b" is not an address or a domain`},
		{func(c *Config) { c.WhitelistFiles = []string{"/a", "list"} }, `whitelist_files[1]: "list" is not an absolute path`},
	} {
		c := Default()
		tc.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Validate() = %v, want %q", err, tc.want)
		}
	}
}

// TestFiles: a fault of a whitelist stops nothing at the start, and keeps a
// reload from being taken.
func TestFiles(t *testing.T) {
	c := Default()
	c.WhitelistFiles = []string{filepath.Join(t.TempDir(), "list")}
	if err := os.WriteFile(c.WhitelistFiles[0], []byte("client friend.example\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if err := c.CheckFiles(); err == nil || !strings.Contains(err.Error(), "whitelist_files[0]: "+c.WhitelistFiles[0]+":2: ") {
		t.Errorf("CheckFiles() = %v", err)
	}
	var log strings.Builder
	g, err := New(c, Deps{State: newStore()}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || !strings.Contains(log.String(), "list:2: ") {
		t.Fatalf("New = %v, log %q", err, log.String())
	}
	q := Query{Client: netip.MustParseAddr(stranger), Name: "dyn-192-0-2-7.friend.example", MailFrom: bob, RcptTo: alice}
	want(t, g.See(t.Context(), q, begin), false, WhyListed)
	if err := g.Reconfigure(c); err == nil {
		t.Error("a reload with a broken list was taken")
	}
	if err := g.Reconfigure(Default()); err != nil {
		t.Error(err)
	}
	q.Client = netip.MustParseAddr("198.51.100.7")
	q.Name = ""
	want(t, g.See(t.Context(), q, begin), true, WhyFirst)
}
