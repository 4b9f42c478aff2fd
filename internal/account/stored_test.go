package account

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// The beginning of 1970 is an end as any other, and not "never".
func TestEndAtTheEpoch(t *testing.T) {
	for _, end := range []time.Time{time.Unix(0, 0), time.Unix(0, 500_000), time.Unix(0, 0).In(time.FixedZone("", 7200))} {
		if ms := Millis(end); ms >= 0 || !FromMillis(ms).Before(time.Unix(1, 0)) || FromMillis(ms).IsZero() {
			t.Errorf("Millis(%v) = %d", end, ms)
		}
	}
	if Millis(time.Time{}) != 0 || !FromMillis(0).IsZero() {
		t.Error("no time is one")
	}
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "accounts.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice := mailaddr.Address{LocalPart: "alice", Domain: "example.org"}
	if err := s.AddDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddUser(t.Context(), User{Addr: alice, Expires: time.Unix(0, 0)}); err != nil {
		t.Fatal(err)
	}
	if u, err := s.User(t.Context(), alice); err != nil || u.Expires.IsZero() {
		t.Errorf("User() = %+v, %v, want one who has expired", u, err)
	}
}
