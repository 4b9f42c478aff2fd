package lists

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

// broken panics on each look-up.
type broken struct{}

func (broken) LookupIP(context.Context, string, string) ([]netip.Addr, error) { panic("odd answer") }

// TestPanic: what breaks a look-up costs its answer, and not the process. No
// session stands above these goroutines.
func TestPanic(t *testing.T) {
	l, err := New(with(ipList()), broken{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.Test(t.Context())
	for _, li := range l.set.Load().lists {
		li.passed(time.Now())
	}
	if got, want := told(l.Ask(t.Context(), client("8.8.8.8"))), `IP_UNKNOWN 0 ["1 of 1 questions got no answer"]`; got != want {
		t.Errorf("Ask = %s, want %s", got, want)
	}
}
