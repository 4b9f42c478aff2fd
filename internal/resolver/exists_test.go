package resolver

import (
	"log/slog"
	"testing"

	"github.com/gatepost/gatepost/internal/dnstest"
)

func TestExists(t *testing.T) {
	zone := dnstest.NewZone()
	zone.MustAdd("a.example. IN A 192.0.2.1\nb.c.example. IN TXT \"x\"\nd.example. IN CNAME gone.example.\ne.example. IN MX 10 a.example.")
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	cfg := Default()
	cfg.Servers = []string{srv.Addr()}
	r, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"a.example": true, "c.example": true, "d.example": true, "e.example": true, "gone.example": false, "x.gone.example": false, "not a name": false} {
		for range 2 { // asked, and from the cache
			if got, err := r.Exists(t.Context(), name); got != want || err != nil {
				t.Errorf("Exists(%s) = %v, %v, want %v", name, got, err, want)
			}
		}
	}
}
