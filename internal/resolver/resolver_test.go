package resolver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/unit"
)

// start returns a resolver that asks a server with the records in text.
func start(t testing.TB, text string, change ...func(*Config)) (*Resolver, *dnstest.Zone) {
	t.Helper()
	zone := dnstest.NewZone()
	if err := zone.Add(text); err != nil {
		t.Fatal(err)
	}
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := Default()
	cfg.Servers = []string{srv.Addr()}
	for _, c := range change {
		c(&cfg)
	}
	r, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r, zone
}

const records = `
example.org. 300 IN TXT "v=spf1 " "-all"
example.org. 300 IN TXT "a \"quoted\" \\ \200 text"
example.org. 300 IN MX 20 b.example.org.
example.org. 300 IN MX 10 A.Example.ORG.
null.example. 300 IN MX 0 .
a.example.org. 300 IN A 192.0.2.1
a.example.org. 300 IN AAAA 2001:db8::1
alias.example.org. 300 IN CNAME alias2.example.org.
alias2.example.org. 300 IN CNAME a.example.org.
dead.example.org. 300 IN CNAME nowhere.example.org.
loop1.example. 300 IN CNAME loop2.example.
loop2.example. 300 IN CNAME loop1.example.
1.2.0.192.in-addr.arpa. 300 IN PTR A.example.org.
1.2.0.192.in-addr.arpa. 300 IN PTR evil\;name.example.org.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 300 IN PTR a.example.org.
`

// ask runs one look-up and writes its records as text.
func ask(r *Resolver, what, name string) (string, error) {
	ctx := context.Background()
	var v any
	var err error
	switch what {
	case "TXT":
		v, err = r.LookupTXT(ctx, name)
	case "MX":
		v, err = r.LookupMX(ctx, name)
	case "PTR":
		v, err = r.LookupPTR(ctx, name)
	case "addr":
		v, err = r.LookupAddr(ctx, netip.MustParseAddr(name))
	default:
		v, err = r.LookupIP(ctx, what, name)
	}
	return fmt.Sprintf("%q", v), err
}

func TestLookup(t *testing.T) {
	r, zone := start(t, records)
	zone.AddTXT("odd (name).example", "yes")
	zone.AddTXT("a:b/c.example", "colon")
	long := strings.Repeat("0123456789", 400)
	zone.AddTXT("long.example", long)
	for _, tc := range []struct{ name, what, ask, want string }{
		{"strings are joined, octets are the zone's", "TXT", "example.org", `["v=spf1 -all" "a \"quoted\" \\ \xc8 text"]`},
		{"final dot and capitals", "TXT", "Example.ORG.", `["v=spf1 -all" "a \"quoted\" \\ \xc8 text"]`},
		{"no such data", "TXT", "a.example.org", `[]`},
		{"no such name", "TXT", "nosuch.example.org", `[]`},
		{"MX by preference, in lower case", "MX", "example.org", `[{'\n' "a.example.org"} {'\x14' "b.example.org"}]`},
		{"null MX", "MX", "null.example", `[{'\x00' ""}]`},
		{"A only", "ip4", "a.example.org", `["192.0.2.1"]`},
		{"AAAA only", "ip6", "a.example.org", `["2001:db8::1"]`},
		{"both", "ip", "a.example.org", `["192.0.2.1" "2001:db8::1"]`},
		{"two aliases", "ip", "alias.example.org", `["192.0.2.1" "2001:db8::1"]`},
		{"alias to nothing", "ip", "dead.example.org", `[]`},
		{"PTR; a name that no host has is left out", "addr", "192.0.2.1", `["a.example.org"]`},
		{"PTR of IPv6", "addr", "2001:db8::1", `["a.example.org"]`},
		{"PTR of mapped IPv4", "addr", "::ffff:192.0.2.1", `["a.example.org"]`},
		{"name with blank and brackets", "TXT", "odd (name).example", `["yes"]`},
		{"name with colon and slash", "TXT", "a:b/c.example", `["colon"]`},
		{"answer that needs TCP", "TXT", "long.example", fmt.Sprintf("[%q]", long)},
		{"empty name", "TXT", "", `[]`},
		{"empty label", "TXT", "a..example", `[]`},
		{"leading dot", "TXT", ".example", `[]`},
		{"long label", "TXT", strings.Repeat("a", 64) + ".example", `[]`},
		{"long name", "TXT", strings.Repeat("a.", 127) + "example", `[]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ask(r, tc.what, tc.ask)
			if err != nil || got != tc.want {
				t.Errorf("lookup %s %q = %s, %v, want %s", tc.what, tc.ask, got, err, tc.want)
			}
		})
	}
	if _, err := r.LookupIP(context.Background(), "tcp", "a.example.org"); err == nil {
		t.Error("LookupIP takes any network")
	}
}

func TestFaults(t *testing.T) {
	r, zone := start(t, records, func(c *Config) { c.Timeout, c.Attempts = unit.Duration(100*time.Millisecond), 2 })
	for _, tc := range []struct {
		name    string
		fault   dnstest.Fault
		want    string // "" for an error
		queries int
	}{
		{"SERVFAIL is tried again, then an error", dnstest.ServFail, "", 2},
		{"REFUSED too", dnstest.Refused, "", 2},
		{"silence too", dnstest.Timeout, "", 2},
		{"cut: TCP", dnstest.Truncate, `["192.0.2.1"]`, 2},
		{"strangers' answers are passed over", dnstest.Stray, `["192.0.2.1"]`, 1},
		{"no EDNS", dnstest.NoEDNS, `["192.0.2.1"]`, 2},
		{"an error is not kept", dnstest.Healthy, `["192.0.2.1"]`, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.cache = newCache(1 << 20)
			zone.Fail("a.example.org", tc.fault)
			zone.Queries()
			got, err := ask(r, "ip4", "a.example.org")
			if tc.want == "" {
				if err == nil || mailerr.ClassOf(err) != mailerr.Transient {
					t.Errorf("lookup = %s, %v, want a transient error", got, err)
				}
			} else if err != nil || got != tc.want {
				t.Errorf("lookup = %s, %v, want %s", got, err, tc.want)
			}
			if q := zone.Queries(); len(q) != tc.queries {
				t.Errorf("%d queries %v, want %d", len(q), q, tc.queries)
			}
		})
	}
	t.Run("alias without an end", func(t *testing.T) {
		if got, err := ask(r, "TXT", "loop1.example"); err == nil || mailerr.ClassOf(err) != mailerr.Transient {
			t.Errorf("lookup = %s, %v, want a transient error", got, err)
		}
		if q := zone.Queries(); len(q) > maxAliases {
			t.Errorf("%d queries", len(q))
		}
	})
	t.Run("one family without an answer", func(t *testing.T) {
		zone.MustAdd("six.example. 300 IN AAAA 2001:db8::6")
		if got, err := ask(r, "ip", "six.example"); err != nil || got != `["2001:db8::6"]` {
			t.Errorf("lookup = %s, %v", got, err)
		}
	})
}

func TestSecondServer(t *testing.T) {
	ill := dnstest.NewZone()
	ill.Fail(".", dnstest.ServFail)
	srv, err := dnstest.Start("127.0.0.1:0", ill)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	r, _ := start(t, records, func(c *Config) { c.Servers = append([]string{srv.Addr()}, c.Servers...) })
	if got, err := ask(r, "ip4", "a.example.org"); err != nil || got != `["192.0.2.1"]` {
		t.Errorf("lookup = %s, %v", got, err)
	}
	if q := ill.Queries(); len(q) != 1 {
		t.Errorf("the first server was asked %d times, want 1", len(q))
	}
}

func TestContextEnds(t *testing.T) {
	r, zone := start(t, records, func(c *Config) { c.Timeout = unit.Duration(30 * time.Second) })
	zone.Fail(".", dnstest.Timeout)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := r.LookupTXT(ctx, "example.org")
	if !errors.Is(err, context.DeadlineExceeded) || mailerr.ClassOf(err) != mailerr.Transient {
		t.Errorf("LookupTXT = %v, want a deadline that is transient", err)
	}
	if _, err := r.LookupTXT(ctx, "example.org"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("LookupTXT after the end = %v", err)
	}
	// The question ends with the last who waits for it, and frees its slot.
	r.slots <- struct{}{}
	<-r.slots
}

func TestConfig(t *testing.T) {
	bad := Config{Servers: []string{"127.0.0.1", "dns.example", "127.0.0.1:0"}}
	err := bad.Validate()
	for _, want := range []string{"servers[1]", "servers[2]", "timeout", "attempts", "max_queries"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, lacks %s", err, want)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("Default() is not valid: %v", err)
	}
	if _, err := New(bad, nil); err == nil {
		t.Error("New takes bad settings")
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 192.0.2.53\nnameserver 2001:db8::53\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		cfg  Config
		conf string
		want []string
	}{
		{Config{}, conf, []string{"192.0.2.53:53", "[2001:db8::53]:53"}},
		{Config{}, conf + ".none", []string{"127.0.0.1:53"}},
		{Config{Servers: []string{"::1", "[::1]:5353", "127.0.53.1"}}, conf, []string{"[::1]:53", "[::1]:5353", "127.0.53.1:53"}},
	} {
		if got, err := tc.cfg.servers(tc.conf); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("servers(%+v) = %v, %v, want %v", tc.cfg, got, err, tc.want)
		}
	}
}
