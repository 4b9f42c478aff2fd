package account

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

func TestCacheIsBounded(t *testing.T) {
	c := newCache[int, int]()
	for i := range 3 * cacheRows {
		c.put(1, i, i, i%2 == 0)
		if v, found, ok := c.get(1, 0); i < cacheRows && (!ok || !found || v != 0) {
			t.Fatalf("after %d rows, get(0) = %v, %v, %v", i, v, found, ok)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*cacheRows {
		t.Errorf("the cache holds %d rows", n)
	}
	if _, _, ok := c.get(1, 0); !ok {
		t.Error("a row that was used all the time has gone")
	}
	if _, found, ok := c.get(1, 3*cacheRows-1); !ok || found {
		t.Error(`the last "no such row" is not known`)
	}
}

// An answer from before a change must not come back after it.
func TestCacheVersions(t *testing.T) {
	c := newCache[string, int]()
	c.put(1, "k", 1, true)
	if _, _, ok := c.get(2, "k"); ok {
		t.Error("get() in version 2 gives an answer of version 1")
	}
	c.put(2, "other", 2, true)
	c.put(1, "k", 1, true) // a query that took long
	if _, _, ok := c.get(2, "k"); ok {
		t.Error("get() in version 2 gives an answer that came late")
	}
	if v, _, ok := c.get(2, "other"); !ok || v != 2 {
		t.Errorf("get() = %v, %v", v, ok)
	}
}

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
	if _, _, ok := s.users.get(s.Version(), key); ok {
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
