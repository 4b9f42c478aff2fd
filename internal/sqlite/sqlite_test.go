package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const (
	first  = "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT; INSERT INTO a VALUES (1);"
	second = "ALTER TABLE a ADD COLUMN y TEXT; INSERT INTO a VALUES (2, 'two');"
)

// steps returns migrations of these texts, numbered.
func files(texts ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i, text := range texts {
		m[string(rune('0'))+"00"+string(rune('1'+i))+"_step.sql"] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func open(t *testing.T, path string, m fstest.MapFS) (*DB, error) {
	t.Helper()
	db, err := Open(t.Context(), Options{Path: path, Migrations: m, Readers: 2, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
	return db, err
}

// wantErr wants err to be target, with the path and a remedy.
func wantErr(t *testing.T, err, target error, path, remedy string) {
	t.Helper()
	if err == nil || target != nil && !errors.Is(err, target) || !strings.Contains(err.Error(), path) ||
		!strings.Contains(err.Error(), remedy) {
		t.Errorf("Open() = %v, want %v with %q and %q", err, target, path, remedy)
	}
}

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name?_%20#.db")
	db, err := open(t, path, files(first))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		db, err = open(t, path, files(first, second))
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.Reader.QueryRow("SELECT count(*) FROM a").Scan(&n); err != nil || n != 2 {
			t.Errorf("%d rows, %v, want 2", n, err)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file has another name: %v", err)
	}
	_, err = open(t, path, files(first))
	wantErr(t, err, ErrNewer, path, "schema is 2, this version knows 1")
	_, err = open(t, path, files(first, second+" "))
	wantErr(t, err, ErrForeign, path, "0002_step.sql")
}

// A step that fails leaves nothing behind, and can be tried again.
func TestMigrateFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	_, err := open(t, path, files(first, "CREATE TABLE b (x) ; SELECT nosuch FROM a;"))
	wantErr(t, err, nil, path, "0002_step.sql")
	db, err := open(t, path, files(first, "CREATE TABLE b (x INTEGER) STRICT;"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer.Exec("INSERT INTO b VALUES (1)"); err != nil {
		t.Error(err)
	}
}

func TestMigrationNumbers(t *testing.T) {
	for name, m := range map[string]fstest.MapFS{
		"gap":   {"0001_a.sql": {}, "0003_b.sql": {}},
		"twice": {"0001_a.sql": {}, "0001_b.sql": {}},
		"none":  {"a.sql": {}},
	} {
		if _, err := readSteps(m); err == nil {
			t.Errorf("readSteps() of %s = nil", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }

	_, err := open(t, at("none/x.db"), files(first))
	wantErr(t, err, os.ErrNotExist, at("none/x.db"), "install -d -m 700")

	_, err = open(t, dir, files(first))
	wantErr(t, err, nil, dir, "no regular file")

	garbage := at("garbage.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("garbage\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, garbage, files(first))
	wantErr(t, err, ErrCorrupt, garbage, "restore it from a backup")
	aside, err := SetAside(garbage, time.Date(2026, 10, 9, 12, 0, 0, 0, time.UTC))
	if err != nil || aside != garbage+".corrupt-20261009T120000.000Z" {
		t.Errorf("SetAside() = %q, %v", aside, err)
	}
	if _, err := open(t, garbage, files(first)); err != nil {
		t.Errorf("Open() after SetAside = %v", err)
	}

	foreign := at("foreign.db")
	db, err := sql.Open("sqlite", foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE theirs (x)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, foreign, files(first))
	wantErr(t, err, ErrForeign, foreign, "name the right file")
}

// Damage in the middle of a file whose header is whole.
func TestDamagedPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := open(t, path, files(first))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer.Exec("WITH RECURSIVE n(x) AS (SELECT 10 UNION ALL SELECT x+1 FROM n LIMIT 5000) INSERT INTO a SELECT x FROM n"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, 8192), 3*4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, path, files(first))
	wantErr(t, err, ErrCorrupt, path, "restore it from a backup")
	if !IsCorrupt(err) {
		t.Errorf("IsCorrupt(%v) = false", err)
	}
}

func TestModes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	db, err := open(t, path, files(first))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Reader.Exec("INSERT INTO a VALUES (7)"); err == nil {
		t.Error("a reader can write")
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 3 {
		t.Errorf("%d files, %v, want the database, -wal and -shm", len(all), err)
	}
	for _, e := range all {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", e.Name(), info.Mode(), err)
		}
	}
	var log bytes.Buffer
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), Options{Path: path, Migrations: files(first), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "chmod 600 "+path) {
		t.Errorf("the log of a file with mode 0644 is %q", log.String())
	}
}

func TestPragmas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Open(t.Context(), Options{Path: path, Migrations: files(first), Shrink: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "auto_vacuum": "2", "query_only": "0",
	} {
		var got string
		if err := db.Writer.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s = %q, %v, want %q", pragma, got, err, want)
		}
	}
}
