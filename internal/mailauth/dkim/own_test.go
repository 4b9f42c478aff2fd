package dkim

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/keys"
)

// What our own signer writes holds here, in every shape.
func TestOwnSigner(t *testing.T) {
	store, err := keys.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var own []keys.Key
	z := &txtZone{txt: map[string][]string{}}
	for _, alg := range []keys.Algorithm{keys.RSA, keys.Ed25519} {
		k, err := store.Create("example.org", string(alg), alg)
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, k)
		z.txt[k.Name()] = []string{k.Record()}
	}
	for name, shape := range shapes {
		msg := shape[0] + "\r\n" + shape[1]
		values, err := keys.Sign(own, strings.NewReader(msg))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			msg = keys.FieldName + ": " + strings.ReplaceAll(v, "\n", "\r\n") + "\r\n" + msg
		}
		for _, nl := range []string{"\r\n", "\n"} {
			rs := verifyAt(t, z, []byte(strings.ReplaceAll(msg, "\r\n", nl)), time.Now())
			if len(rs) != 2 || rs[0].Result != "pass" || rs[1].Result != "pass" {
				t.Errorf("%s with line end %q: %s", name, nl, words(rs))
			}
		}
	}
}
