package mailauth

import (
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

func TestSealNeedsInputSeal(t *testing.T) {
	k := makeKeys(t)
	sealer := arc.Sealer{Domain: "d.example", Selector: "r", Key: k.rsa2048, Names: []string{"From", "To", "Subject"}}
	c := checker(t, k.zone(t))
	in := input(mail + "text\r\n")
	if _, err := c.Check(t.Context(), in).Seal(sealer, "mx.example; none", time.Now()); !errors.Is(err, ErrNotSealable) {
		t.Errorf("Seal of a message that was not hashed = %v", err)
	}
	in.Seal = true
	r := c.Check(t.Context(), in)
	fields, err := r.Seal(sealer, "mx.example; none", time.Now())
	if err != nil || len(fields) != 3 {
		t.Fatalf("Seal = %q, %v", fields, err)
	}
	var head strings.Builder
	for _, f := range fields {
		head.WriteString(strings.ReplaceAll(f.String(), "\n", "\r\n") + "\r\n")
	}
	if got := c.Check(t.Context(), input(head.String()+mail+"text\r\n")).ARC; got.Result != authres.Pass {
		t.Errorf("chain %+v", got)
	}
	sealer.Key = nil
	if _, err := r.Seal(sealer, "mx.example; none", time.Now()); err == nil {
		t.Error("Seal without a key is no error")
	}
	sealer.Key = broken{}
	if _, err := r.Seal(sealer, "mx.example; none", time.Now()); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("a panic is %v", err)
	}
	in.Raw.HeaderEnd = 1 << 20
	if _, err := c.Check(t.Context(), in).Seal(sealer, "mx.example; none", time.Now()); !errors.Is(err, ErrNotSealable) {
		t.Errorf("Seal of a message that is too short = %v", err)
	}
}

// broken is a key that panics.
type broken struct{ crypto.Signer }
