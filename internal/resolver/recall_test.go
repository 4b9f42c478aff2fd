package resolver

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/gatepost/gatepost/internal/dnstest"
)

// What was asked once is known without a question until its time is over; what
// was not, is missed.
func TestRecall(t *testing.T) {
	z := dnstest.NewZone()
	z.MustAdd("a.example. 300 IN TXT \"v=spf1 -all\"\na.example. 300 IN A 192.0.2.1\na.example. 300 IN MX 10 mx.a.example.\n1.2.0.192.in-addr.arpa. 300 IN PTR a.example.")
	srv, err := dnstest.Start("127.0.0.1:0", z)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	cfg := Default()
	cfg.Servers = []string{srv.Addr()}
	r, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, addr := t.Context(), netip.MustParseAddr("192.0.2.1")
	look := func(c asker) (txt []string, ip []netip.Addr, mx []MX, names []string) {
		txt, _ = c.LookupTXT(ctx, "A.example")
		ip, _ = c.LookupIP(ctx, "ip4", "a.example")
		mx, _ = c.LookupMX(ctx, "a.example")
		names, _ = c.LookupAddr(ctx, addr)
		return txt, ip, mx, names
	}
	cold := r.Recall()
	if txt, ip, mx, names := look(cold); len(txt)+len(ip)+len(mx)+len(names) > 0 || !cold.Missed() {
		t.Errorf("an empty cache knows %v %v %v %v", txt, ip, mx, names)
	}
	if n := len(z.Queries()); n != 0 {
		t.Errorf("%d questions", n)
	}
	look(r)
	if n := len(z.Queries()); n != 4 {
		t.Errorf("%d questions, want 4", n)
	}
	warm := r.Recall()
	txt, ip, mx, names := look(warm)
	if !slices.Equal(txt, []string{"v=spf1 -all"}) || !slices.Equal(ip, []netip.Addr{addr}) || len(mx) != 1 || !slices.Equal(names, []string{"a.example"}) || warm.Missed() {
		t.Errorf("recalled %v %v %v %v, missed %v", txt, ip, mx, names, warm.Missed())
	}
	if ok, err := warm.Exists(ctx, "a.example"); !ok || err != nil || warm.Missed() {
		t.Errorf("Exists = %v, %v", ok, err)
	}
	if txt, known := r.RecallTXT("a.example"); !known || len(txt) != 1 {
		t.Errorf("RecallTXT = %v, %v", txt, known)
	}
	if _, known := r.RecallTXT("b.example"); known {
		t.Error("RecallTXT knows what nobody asked")
	}
	if _, err := warm.LookupIP(ctx, "ip", "a.example"); err == nil || !warm.Missed() {
		t.Errorf("LookupIP of both = %v", err)
	}
	if n := len(z.Queries()); n != 0 {
		t.Errorf("%d questions more", n)
	}
}
