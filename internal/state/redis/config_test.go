package redis

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

func TestConfigValidate(t *testing.T) {
	if c := Default(); c.Validate() != nil || c.Enabled() {
		t.Errorf("Default() is %v, enabled %v", c.Validate(), c.Enabled())
	}
	for want, change := range map[string]func(c *Config){
		"":                       func(c *Config) { c.Addresses = []string{"a:1", "b:1"}; c.KeyPrefix = "mail-1:" },
		"addresses":              func(c *Config) { c.Addresses = []string{"host"} },
		"database":               func(c *Config) { c.Addresses, c.Database = []string{"a:1", "b:1"}, 1 },
		"database: -1":           func(c *Config) { c.Database = -1 },
		"master_name":            func(c *Config) { c.SentinelUser, c.SentinelPasswordFile = "u", "f" },
		"name the Sentinels":     func(c *Config) { c.MasterName = "m" },
		"password_file":          func(c *Config) { c.Username = "u" },
		"sentinel_password_file": func(c *Config) { c.Addresses, c.MasterName, c.SentinelUser = []string{"a:1"}, "m", "u" },
		"tls.enable":             func(c *Config) { c.TLS.CAFile = "f" },
		"key_prefix":             func(c *Config) { c.KeyPrefix = "{a}" },
		"dial_timeout":           func(c *Config) { c.DialTimeout = unit.Duration(time.Second) },
		"timeout: 201ms":         func(c *Config) { c.Timeout = unit.Duration(201 * time.Millisecond) },
		"pool_size":              func(c *Config) { c.PoolSize = 0 },
	} {
		c := Default()
		change(&c)
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Validate(%+v) = %v, want %q", c, err, want)
		}
	}
}

// The passwords of files are used, and are in no error.
func TestPasswordFiles(t *testing.T) {
	const password = "wonderland-1865"
	lab := redistest.Single(t)
	// What gatepost.yaml(5) says that the user needs.
	rights := "+@read +@write +@pubsub +@scripting +@connection +info +time +cluster|slots +cluster|info +memory|usage"
	rule := []any{"ACL", "SETUSER", "gatepost", "on", ">" + password, "~gp1:*", "&gp1:*"}
	for _, r := range strings.Fields(rights) {
		rule = append(rule, r)
	}
	if err, bad := lab.Nodes[0].Do(rule...).(error); bad {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(password+"\r\nsecond line"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.Addresses, cfg.Username, cfg.PasswordFile = lab.Addresses, "gatepost", path
	s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s)
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("Probe() = %v", err)
	}
	if _, err := s.Stats(t.Context()); err != nil {
		t.Errorf("Stats() = %v", err)
	}
	if r, err := s.Verify(t.Context()); err != nil || r.Faulty != 0 {
		t.Errorf("Verify() = %+v, %v", r, err)
	}
	if _, err := s.Counters(t.Context(), ""); err != nil {
		t.Errorf("Counters() = %v", err)
	}
	if err := s.client.Set(t.Context(), "other", "x", 0).Err(); err == nil {
		t.Error("the user may do more than it needs")
	}
	lab.Nodes[0].Do("ACL", "SETUSER", "gatepost", "resetpass", ">another")
	again, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Get(t.Context(), state.Seen, "k"); err == nil || strings.Contains(err.Error(), "wonderland") {
		t.Errorf("Get() with a wrong password = %v", err)
	}
	for _, content := range []string{"", "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("Open() with the password file %q is no error", content)
		}
	}
	cfg.PasswordFile = path + ".none"
	if _, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("Open() without the password file is no error")
	}
}
