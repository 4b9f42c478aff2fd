package account

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// A change while a query runs: its answer is given, but not kept.
func TestLookUpDuringChange(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "accounts.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := mailaddr.Address{LocalPart: "alice", Domain: "example.org"}
	_, err = lookUp(t.Context(), s.Version(), s.users, key, func() (User, error) {
		s.version.Add(1)
		return User{Addr: key}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := s.users.Get(s.Version(), key, 0); ok {
		t.Error("an answer from before the change was kept")
	}
}

// A disk that takes no change is noticed before somebody makes one: the look
// writes.
func TestWritable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	s, err := OpenSQLite(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Writable(t.Context()); err != nil {
		t.Errorf("Writable() = %v", err)
	}
	if after, err := os.Stat(path + "-wal"); err != nil || after.Size() <= before.Size() {
		t.Errorf("Writable() wrote nothing: %d bytes, %v, were %d", after.Size(), err, before.Size())
	}
	if _, err := s.db.Writer.Exec("PRAGMA query_only = 1"); err != nil { // as a disk that was remounted
		t.Fatal(err)
	}
	if err := s.Writable(t.Context()); err == nil {
		t.Error("Writable() = nil of a file that can not be written")
	}
}
