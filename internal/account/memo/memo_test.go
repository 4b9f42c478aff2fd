package memo

import "testing"

func TestCacheIsBounded(t *testing.T) {
	const rows = 1000
	c := New[int, int](rows)
	for i := range 3 * rows {
		c.Put(1, i, i, i%2 == 0, 0)
		if v, found, ok := c.Get(1, 0, 0); i < rows && (!ok || !found || v != 0) {
			t.Fatalf("after %d rows, Get(0) = %v, %v, %v", i, v, found, ok)
		}
	}
	if n := c.Len(); n > 2*rows {
		t.Errorf("the cache holds %d rows", n)
	}
	if _, _, ok := c.Get(1, 0, 0); !ok {
		t.Error("a row that was used all the time has gone")
	}
	if _, found, ok := c.Get(1, 3*rows-1, 0); !ok || found {
		t.Error(`the last "no such row" is not known`)
	}
}

// An answer from before a change must not come back after it.
func TestCacheVersions(t *testing.T) {
	c := New[string, int](10)
	c.Put(1, "k", 1, true, 0)
	if _, _, ok := c.Get(2, "k", 0); ok {
		t.Error("Get() in version 2 gives an answer of version 1")
	}
	if v, found, ok := c.Last("k"); !ok || !found || v != 1 {
		t.Errorf("Last() = %v, %v, %v, want what was known", v, found, ok)
	}
	c.Put(2, "k", 2, true, 0)
	c.Put(1, "k", 1, true, 9) // a query that took long
	if v, _, ok := c.Get(2, "k", 0); !ok || v != 2 {
		t.Errorf("Get() = %v, %v, want the younger answer", v, ok)
	}
}

func TestCacheTimes(t *testing.T) {
	c := New[string, int](10)
	c.Put(1, "k", 1, true, 100)
	if _, _, ok := c.Get(1, "k", 101); ok {
		t.Error("Get() gives an answer that is too old")
	}
	if _, _, ok := c.Get(1, "k", 100); !ok {
		t.Error("Get() does not give an answer that is young enough")
	}
	c.Put(1, "k", 2, true, 50) // it came late
	if v, _, _ := c.Last("k"); v != 1 {
		t.Errorf("Last() = %v, want the younger answer", v)
	}
}
