package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// copyOf writes a snapshot to a file of its own.
func copyOf(t *testing.T, s *Snapshot) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Copy(t.Context(), f), f.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != s.Size() {
		t.Errorf("the copy has %d bytes, %v, want %d", info.Size(), err, s.Size())
	}
	return path
}

// A snapshot is of its moment, while others write all the time.
func TestSnapshotWhileWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name?_%20#.db")
	db, err := open(t, path, files("CREATE TABLE a (x INTEGER PRIMARY KEY, y BLOB) STRICT; CREATE INDEX ay ON a (y); CREATE TABLE b (n INTEGER) STRICT; INSERT INTO b VALUES (0);"))
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	stop := make(chan struct{})
	wrote := make(chan struct{}, 1)
	writers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			// Both tables in one transaction: a copy between them would show.
			if _, err := db.Writer.Exec("BEGIN; INSERT INTO a (y) VALUES (randomblob(3000)); UPDATE b SET n = n + 1; COMMIT"); err != nil {
				t.Errorf("write: %v", err)
				return
			}
			select {
			case wrote <- struct{}{}:
			default:
			}
		}
	})
	for range 5 {
		<-wrote
		var before int64
		if err := db.Reader.QueryRow("SELECT n FROM b").Scan(&before); err != nil {
			t.Fatal(err)
		}
		s, err := Snap(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		<-wrote // something else comes before the copy
		<-wrote
		got := copyOf(t, s)
		c, err := Inspect(t.Context(), got)
		if err != nil {
			t.Fatal(err)
		}
		copied, err := open(t, got, files("CREATE TABLE a (x INTEGER PRIMARY KEY, y BLOB) STRICT; CREATE INDEX ay ON a (y); CREATE TABLE b (n INTEGER) STRICT; INSERT INTO b VALUES (0);"))
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		if err := copied.Reader.QueryRow("SELECT n FROM b").Scan(&n); err != nil || n != c.Rows["a"] || n < before {
			t.Errorf("the copy has %d rows and counted %d, %v; there were %d before", c.Rows["a"], n, err, before)
		}
	}
	close(stop)
	writers.Wait()
}

// full takes so many bytes.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestSnapshotFails(t *testing.T) {
	dir := t.TempDir()
	if _, err := Snap(t.Context(), filepath.Join(dir, "none.db")); err == nil {
		t.Error("Snap() of no file = nil")
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("Snap() made a file")
	}
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("garbage\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Snap(t.Context(), garbage); !IsCorrupt(err) {
		t.Errorf("Snap() of garbage = %v", err)
	}
	if _, err := Inspect(t.Context(), garbage); !IsCorrupt(err) {
		t.Errorf("Inspect() of garbage = %v", err)
	}
	path := filepath.Join(dir, "x.db")
	made(t, path, files(first))
	s, err := Snap(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Copy(t.Context(), &full{left: 5000}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Copy() to a full disk = %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// Inspect leaves no file behind, and changes none.
func TestInspectMakesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	made(t, path, files(first, second))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Inspect(t.Context(), path)
	if err != nil || c.Schema != 2 || c.Rows["a"] != 2 || len(c.Rows) != 1 {
		t.Errorf("Inspect() = %+v, %v", c, err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed, %v", err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("%d files, %v", len(all), err)
	}
}
