package dnstest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func exchange(t *testing.T, s *Server, network, name string, typ uint16) (*dns.Msg, error) {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 200 * time.Millisecond}
	m, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, typ), s.Addr())
	return m, err
}

func TestServer(t *testing.T) {
	zone := NewZone()
	zone.MustAdd(`
; as gatepost dkim dns prints it
gp202611r._domainkey.example.org.	3600	IN	TXT		"v=DKIM1; k=rsa; p=" "AAAA"
www.example.org. IN CNAME example.org
example.org. IN A 192.0.2.1`)
	if err := zone.Add("half.example. IN A 192.0.2.1\nbroken IN"); err == nil {
		t.Error("Add takes a broken zone")
	}
	zone.AddTXT("big.example", strings.Repeat("x", 3000))
	s, err := Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tc := range []struct {
		network, name string
		typ           uint16
		fault         Fault
		want          string // rcode, TC, number of answers
	}{
		{"udp", "gp202611r._domainkey.EXAMPLE.org.", dns.TypeTXT, Healthy, "NOERROR 1"},
		{"udp", "_domainkey.example.org.", dns.TypeTXT, Healthy, "NOERROR 0"},
		{"udp", "example.org.", dns.TypeMX, Healthy, "NOERROR 0"},
		{"udp", "half.example.", dns.TypeA, Healthy, "NXDOMAIN 0"},
		{"udp", "www.example.org.", dns.TypeA, Healthy, "NOERROR 2"},
		{"udp", "big.example.", dns.TypeTXT, Healthy, "NOERROR TC 0"},
		{"tcp", "big.example.", dns.TypeTXT, Healthy, "NOERROR 1"},
		{"udp", "example.org.", dns.TypeA, ServFail, "SERVFAIL 0"},
		{"udp", "example.org.", dns.TypeA, Refused, "REFUSED 0"},
		{"udp", "example.org.", dns.TypeA, Timeout, "timeout"},
		{"udp", "example.org.", dns.TypeA, Truncate, "NOERROR TC 0"},
		{"tcp", "example.org.", dns.TypeA, Truncate, "NOERROR 1"},
	} {
		zone.Fail(strings.ToUpper(tc.name), tc.fault)
		m, err := exchange(t, s, tc.network, tc.name, tc.typ)
		got := "timeout"
		if err == nil {
			got = dns.RcodeToString[m.Rcode]
			if m.Truncated {
				got += " TC"
			}
			got += " " + string(rune('0'+len(m.Answer)))
		}
		if got != tc.want {
			t.Errorf("%s %s %d with fault %d: %s, want %s", tc.network, tc.name, tc.typ, tc.fault, got, tc.want)
		}
		zone.Fail(tc.name, Healthy)
	}
	zone.Queries()
	zone.Fail(".", ServFail)
	zone.Remove("example.org")
	if m, err := exchange(t, s, "udp", "example.org.", dns.TypeA); err != nil || m.Rcode != dns.RcodeServerFailure {
		t.Errorf("with all names ill: %v, %v", m, err)
	}
	zone.Fail(".", Healthy)
	if m, err := exchange(t, s, "udp", "example.org.", dns.TypeA); err != nil || len(m.Answer) != 0 {
		t.Errorf("after Remove: %v, %v", m, err)
	}
	if q := zone.Queries(); !slices.Equal(q, []string{"udp A example.org.", "udp A example.org."}) {
		t.Errorf("Queries() = %v", q)
	}
}
