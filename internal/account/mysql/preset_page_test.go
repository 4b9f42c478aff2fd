package mysql

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mariadbtest"
)

// TestPage runs the SQL of docs/howto/mysql.md over ISPmail's tables, and opens a
// store by each of its settings.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/howto/mysql.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := func(kind string) (all []string) {
		for _, m := range regexp.MustCompile("(?s)```"+kind+"\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
			all = append(all, m[1])
		}
		return all
	}
	server := mariadbtest.Start(t, mariadbtest.TLS())
	tables, err := os.ReadFile(filepath.Join("testdata", "ispmail.sql"))
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "CREATE DATABASE mailserver; USE mailserver; "+string(tables)+
		"ALTER TABLE virtual_users ADD COLUMN enabled TINYINT NOT NULL DEFAULT 1")
	for _, sql := range blocks("sql") {
		server.Exec(t, sql)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("put-a-long-random-one-here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := blocks("yaml")
	if len(settings) != 3 {
		t.Fatalf("the page has %d settings, want 3", len(settings))
	}
	// Each is laid over the first, as an administrator would add it.
	read := func(text string) Config {
		file := struct {
			MySQL Config `yaml:"mysql"`
		}{Default()}
		for _, part := range []string{settings[0], text} {
			if err := config.Decode("page", []byte(part), &file); err != nil {
				t.Fatal(err)
			}
		}
		return file.MySQL
	}
	for i, text := range settings {
		cfg := read(text)
		if err := cfg.Validate(); err != nil {
			t.Errorf("setting %d: %v", i, err)
		}
		if i == 2 { // two hosts elsewhere
			cfg.Hosts, cfg.WriteHost, cfg.TLSCAFile = []string{server.Addr, "unix:" + server.Socket}, server.Addr, server.CA
			server.Exec(t, "CREATE USER 'gatepost'@'127.0.0.1' IDENTIFIED BY 'put-a-long-random-one-here' REQUIRE SSL; "+
				"GRANT SELECT ON mailserver.* TO 'gatepost'@'127.0.0.1'; GRANT ALL ON gatepost.* TO 'gatepost'@'127.0.0.1'")
		} else {
			cfg.Hosts = []string{"unix:" + server.Socket}
		}
		cfg.PasswordFile = password
		s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Errorf("setting %d: %v", i, err)
			continue
		}
		u, err := s.Fresh().User(t.Context(), presetAddr(t, "john@example.org"))
		if err != nil || u.Disabled || !strings.HasPrefix(string(u.Password.Reveal()), "{BLF-CRYPT}") {
			t.Errorf("setting %d: %s%v", i, showUser(u), err)
		}
		if err := s.SetHeld(t.Context(), u.Addr, i == 0); err != nil {
			t.Errorf("setting %d: %v", i, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, preset := range presets() {
		if !strings.Contains(string(page), "| `"+preset.Name+"` |") {
			t.Errorf("the page does not list %s", preset.Name)
		}
	}
}
