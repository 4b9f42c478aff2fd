package spf

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/unit"
)

// TestOverDNS: the outcomes of package resolver over real sockets, with names
// that the standard library's resolver refuses to ask for.
func TestOverDNS(t *testing.T) {
	zone := dnstest.NewZone()
	zone.MustAdd(`
colon.example. IN TXT "v=spf1 a:foo:bar/baz.example -all"
foo:bar/baz.example. IN A 192.0.2.1
space.example. IN TXT "v=spf1 a:macro%%percent%_%_space%-url-space.example -all"
macro%percent\ \ space%20url-space.example. IN A 192.0.2.1
under.example. IN TXT "v=spf1 include:_spf.under.example " "-all"
_spf.under.example. IN TXT "v=spf1 ip4:192.0.2.1"
voids.example. IN TXT "v=spf1 a:nx1.example a:nodata.example a:nx2.example +all"
nodata.example. IN MX 10 mail.example.
ill.example. IN TXT "v=spf1 a:broken.example +all"
ptr.example. IN TXT "v=spf1 ptr -all"
1.2.0.192.in-addr.arpa. IN PTR Host.PTR.example.
host.ptr.example. IN A 192.0.2.1
`)
	zone.AddTXT("exp.example", "v=spf1 -all exp=why.example")
	zone.AddTXT("why.example", "%{i} may not send for %{d}; see http://why.example/%{D}?s=%{S}")
	zone.Fail("broken.example", dnstest.ServFail)
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	cfg := resolver.Default()
	cfg.Servers = []string{srv.Addr()}
	cfg.Timeout = unit.Duration(time.Second)
	res, err := resolver.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]authres.Result{
		"colon.example": authres.Pass, "space.example": authres.Pass, "under.example": authres.Pass, "voids.example": authres.PermError, "ill.example": authres.TempError,
		"ptr.example": authres.Pass, "exp.example": authres.Fail, "nx.example": authres.None,
	} {
		v := New(res, "").MailFrom(t.Context(), Client{Addr: netip.MustParseAddr("192.0.2.1"), Explain: true}, mailaddr.Address{LocalPart: "bob", Domain: domain})
		if v.Result != want {
			t.Errorf("%s: %s (%s), want %s", domain, v.Result, v.Problem, want)
		}
		if domain == "exp.example" && v.Explanation != "192.0.2.1 may not send for exp.example; see http://why.example/exp.example?s=bob%40exp.example" {
			t.Errorf("explanation %q", v.Explanation)
		}
	}
}
