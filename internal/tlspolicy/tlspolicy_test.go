package tlspolicy

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mtasts"
	"github.com/gatepost/gatepost/internal/resolver"
)

// zone is a DNS of maps. A name in secure is signed; one in broken fails.
type zone struct {
	mu     sync.Mutex // guards the fields below
	mx     map[string][]resolver.MX
	tlsa   map[string][]resolver.TLSA
	secure map[string]bool
	broken map[string]bool
	asked  int
}

var errServfail = errors.New("SERVFAIL")

func ask[T any](z *zone, name string, records map[string][]T) ([]T, bool, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.broken[name] {
		return nil, false, errServfail
	}
	return records[name], z.secure[name], nil
}

func (z *zone) LookupMXSecure(_ context.Context, name string) ([]resolver.MX, bool, error) {
	return ask(z, name, z.mx)
}

func (z *zone) LookupTLSA(_ context.Context, name string) ([]resolver.TLSA, bool, error) {
	return ask(z, name, z.tlsa)
}

func (z *zone) LookupIPSecure(_ context.Context, name string) ([]netip.Addr, bool, error) {
	if strings.HasPrefix(name, "empty") {
		return nil, true, nil
	}
	_, secure, err := ask(z, name, z.mx)
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, secure, err
}

// stsMap has policies of MTA-STS.
type stsMap map[string]mtasts.Policy

func (m stsMap) Find(_ context.Context, domain string) (mtasts.Policy, error) {
	if strings.HasPrefix(domain, "slow.") {
		return mtasts.Policy{}, context.DeadlineExceeded
	}
	return m[domain], nil
}

func newZone() *zone {
	z := &zone{mx: map[string][]resolver.MX{}, tlsa: map[string][]resolver.TLSA{}, secure: map[string]bool{}, broken: map[string]bool{}}
	good := []resolver.TLSA{{Usage: 3, Selector: 1, MatchingType: 1, Data: "ab"}}
	z.tlsa["_25._tcp.dane1.example"], z.tlsa["_25._tcp.dane2.example"] = good, good
	z.tlsa["_25._tcp.pkix.example"] = []resolver.TLSA{{Usage: 1, Selector: 1, MatchingType: 1, Data: "ab"}}
	z.tlsa["_25._tcp.odd.example"] = []resolver.TLSA{{Usage: 3, Selector: 7, MatchingType: 1, Data: "ab"}, {Usage: 3, MatchingType: 9, Data: "ab"}, {Usage: 2}}
	z.tlsa["_25._tcp.unsigned.example"] = good
	z.tlsa["_25._tcp.bare.example"] = good
	z.broken["_25._tcp.servfail.example"] = true
	for _, n := range []string{"dane1", "dane2", "pkix", "odd", "plain", "servfail", "bare", "both", "all", "some", "none", "fails",
		"strange", "usage1", "hidden", "null", "lone", "empty"} {
		z.secure[n+".example"], z.secure["_25._tcp."+n+".example"] = true, true
	}
	z.secure["_25._tcp.addrless.example"] = true
	z.tlsa["_25._tcp.addrless.example"], z.tlsa["_25._tcp.empty.example"] = good, good
	for domain, hosts := range map[string]string{
		"all": "dane1 dane2", "both": "dane1", "some": "dane1 plain", "none": "plain", "fails": "servfail plain", "usage1": "pkix",
		"strange": "odd", "hidden": "unsigned", "insecure": "dane1", "lone": "addrless", "sts": "plain", "testing": "plain",
		"gone": "plain", "unmx": "", "slow.x": "plain",
	} {
		for i, h := range strings.Fields(hosts) {
			z.mx[domain+".example"] = append(z.mx[domain+".example"], resolver.MX{Preference: uint16(i), Host: h + ".example"})
		}
	}
	z.mx["null.example"] = []resolver.MX{{}}
	z.broken["away.example"] = true
	return z
}

var policies = stsMap{
	"both.example":    {Mode: mtasts.Enforce, MX: []string{"dane1.example"}},
	"some.example":    {Mode: mtasts.Enforce, MX: []string{"dane1.example"}},
	"none.example":    {Mode: mtasts.Enforce, MX: []string{"plain.example"}},
	"sts.example":     {Mode: mtasts.Enforce, MX: []string{"mx.example.net", "*.example.net"}},
	"testing.example": {Mode: mtasts.Testing, MX: []string{"plain.example"}},
	"gone.example":    {Mode: mtasts.None},
}

// TestOrder is who wins.
func TestOrder(t *testing.T) {
	own := []Rule{
		{Domain: "bank.example", Level: "secure", Match: []string{"mx.bank.example", ".bank.example"}},
		{Domain: ".bank.example", Level: "encrypt"},
		{Domain: "All.Example", Level: "may"},
		{Domain: "[mx.hoster.example]:587", Level: "verify"},
		{Domain: ".sub.deep.example", Level: "verify"},
		{Domain: ".deep.example", Level: "encrypt"},
	}
	for _, tc := range []struct{ name, hop, want string }{
		{"own list", "bank.example", "secure match=mx.bank.example:.bank.example"},
		{"own list below a domain", "mail.bank.example", "encrypt"},
		{"own list, nearest parent", "x.sub.deep.example", "verify"},
		{"own list, next parent", "y.x.deep.example", "encrypt"},
		{"own list in capitals", "BANK.example.", "secure match=mx.bank.example:.bank.example"},
		{"own list before DANE", "all.example", "may"},
		{"own list by next hop", "[mx.hoster.example]:587", "verify"},
		{"another port", "[mx.hoster.example]:25", ""},
		{"DANE at all hosts, before MTA-STS", "both.example", "dane-only"},
		{"DANE at some hosts, before MTA-STS", "some.example", "dane"},
		{"DANE at none, MTA-STS", "none.example", "secure match=plain.example servername=hostname"},
		{"a host that nobody can say about", "fails.example", "dane"},
		{"usages for the web only", "usage1.example", ""},
		{"records that nobody can use", "strange.example", ""},
		{"host in a zone that is not signed", "hidden.example", ""},
		{"domain in a zone that is not signed", "insecure.example", ""},
		{"host without secure addresses", "lone.example", ""},
		{"no MX, its own host", "bare.example", "dane-only"},
		{"no MX, no address", "empty.example", ""},
		{"null MX", "null.example", ""},
		{"MTA-STS", "sts.example", "secure match=mx.example.net:.example.net servername=hostname"},
		{"MTA-STS, testing", "testing.example", ""},
		{"MTA-STS, none", "gone.example", ""},
		{"nothing", "quiet.example", ""},
		{"not a domain", "[192.0.2.1]", ""},
		{"a port", "sts.example:587", ""},
		{"parent that Postfix asks for", ".sts.example", ""},
		{"empty", "", ""},
		{"too long", strings.Repeat("a.", 200) + "example", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := New(Config{Mandatory: own, DANE: true, MTASTS: true}, newZone(), policies)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // found, and remembered
				if got, err := p.Find(t.Context(), tc.hop); err != nil || got != tc.want {
					t.Errorf("Find(%q) = %q, %v, want %q", tc.hop, got, err, tc.want)
				}
			}
		})
	}
}

func TestSwitches(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		hop  string
		want string
	}{
		{Config{}, "both.example", ""},
		{Config{DANE: true}, "both.example", "dane-only"},
		{Config{DANE: true}, "sts.example", ""},
		{Config{MTASTS: true}, "both.example", "secure match=dane1.example servername=hostname"},
	} {
		z := newZone()
		p, err := New(tc.cfg, z, policies)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Find(t.Context(), tc.hop); err != nil || got != tc.want {
			t.Errorf("Find(%q) with %+v = %q, %v, want %q", tc.hop, tc.cfg, got, err, tc.want)
		}
		if !tc.cfg.DANE && z.asked > 0 {
			t.Errorf("%d questions to DNS without DANE", z.asked)
		}
	}
	if _, err := New(Config{DANE: true}, nil, nil); err == nil {
		t.Error("New() with DANE and without DNS is no error")
	}
}

func TestUnknownIsAnError(t *testing.T) {
	p, err := New(Config{DANE: true, MTASTS: true}, newZone(), policies)
	if err != nil {
		t.Fatal(err)
	}
	for _, hop := range []string{"away.example", "slow.x.example"} {
		if got, err := p.Find(t.Context(), hop); err == nil {
			t.Errorf("Find(%s) = %q, want an error", hop, got)
		}
	}
}

// TestKept: an answer is kept for a minute, and not over a change of settings.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone()
		p, err := New(Config{DANE: true}, z, nil)
		if err != nil {
			t.Fatal(err)
		}
		find := func(want string, questions int) {
			t.Helper()
			before := z.asked
			if got, err := p.Find(t.Context(), "all.example"); err != nil || got != want || z.asked-before != questions {
				t.Errorf("Find() = %q, %v after %d questions, want %q after %d", got, err, z.asked-before, want, questions)
			}
		}
		find("dane-only", 5)
		time.Sleep(answerLife - time.Nanosecond)
		find("dane-only", 0)
		time.Sleep(time.Nanosecond)
		find("dane-only", 5)
		if err := p.Reconfigure(Config{Mandatory: []Rule{{Domain: "x.example", Level: "never"}}}); err == nil {
			t.Error("Reconfigure() takes a level that is none")
		}
		find("dane-only", 0)
		if err := p.Reconfigure(Config{}); err != nil {
			t.Fatal(err)
		}
		find("", 0)
	})
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		rule Rule
		want string // the key that is wrong
	}{
		{Rule{Domain: "a.example", Level: "encrypt"}, ""},
		{Rule{Domain: ".a.example", Level: "secure", Match: []string{"nexthop", "dot-nexthop"}}, ""},
		{Rule{Level: "encrypt"}, "mandatory[0].domain"},
		{Rule{Domain: "a example", Level: "encrypt"}, "mandatory[0].domain"},
		{Rule{Domain: "a.example"}, "mandatory[0].level"},
		{Rule{Domain: "a.example", Level: "none"}, "mandatory[0].level"},
		{Rule{Domain: "a.example", Level: "encrypt", Match: []string{"x"}}, "mandatory[0].match"},
		{Rule{Domain: "a.example", Level: "verify", Match: []string{"x y"}}, "mandatory[0].match[0]"},
		{Rule{Domain: "a.example", Level: "verify", Match: []string{"x ciphers=null"}}, "mandatory[0].match[0]"},
	} {
		err := config.Under("", Config{Mandatory: []Rule{tc.rule}}.Validate())
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Validate(%+v) = %v, want %q", tc.rule, err, tc.want)
		}
	}
	twice := Config{Mandatory: []Rule{{Domain: "a.example", Level: "may"}, {Domain: "A.example", Level: "may"}}}
	if err := twice.Validate(); err == nil {
		t.Error("Validate() takes a domain twice")
	}
}

func BenchmarkFind(b *testing.B) {
	p, err := New(Config{DANE: true, MTASTS: true}, newZone(), policies)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Find(b.Context(), "sts.example"); err != nil {
			b.Fatal(err)
		}
	}
}
