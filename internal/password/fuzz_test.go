package password

import (
	"testing"

	"github.com/gatepost/gatepost/internal/secret"
)

// FuzzParse: whatever a store holds is read within bounds before anything is
// allocated or computed, and what takes no time can be computed.
func FuzzParse(f *testing.F) {
	for _, h := range append(append([]string{}, fromDovecot...), otherForms...) {
		f.Add(h, "")
	}
	f.Add("{ARGON2ID}$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "")
	f.Add("$6$rounds=0x10$$", "CRYPT")
	f.Add("wonderland", "PLAIN")
	f.Add("AA==", "SSHA256")
	f.Add("{DES-CRYPT.hex}00", "")
	f.Fuzz(func(t *testing.T, h, def string) {
		scheme, err := ParseScheme(def)
		if err != nil {
			scheme = ""
		}
		s, err := parse(secret.String(h), scheme)
		if err != nil {
			return
		}
		if s.class.work() > maxWork || s.class.work() < 0 || s.class.bytes() > maxArgonBytes {
			t.Fatalf("parse(%q) = %+v: out of bounds", h, s.class)
		}
		if s.class.work() <= quickWork {
			s.matches([]byte("wonderland"))
		}
		nobody(s.class)
	})
}

// FuzzMatchesApp: what a stranger types, and what a store may hold.
func FuzzMatchesApp(f *testing.F) {
	clear, stored := NewApp()
	f.Add(string(stored.Reveal()), clear.Reveal())
	f.Add("{SSHA256}kVPkS5Ttw+wK5y6iX+H2/1bs1X0F/8tLd7L3jpRaqXxB81wE", []byte("OIL0-1abc"))
	f.Fuzz(func(t *testing.T, hash string, typed []byte) {
		if MatchesApp(secret.String(hash), typed) {
			if _, ok := appTyped(typed); !ok {
				t.Errorf("%q matches, and is no app password", typed)
			}
		}
	})
}
