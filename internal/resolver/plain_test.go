package resolver

import (
	"reflect"
	"testing"

	"github.com/miekg/dns"
)

// message is the answer to the question for a.example with records of a zone
// file, on the wire; change may be nil.
func message(t testing.TB, answer, authority []string, change func(*dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("a.example.", dns.TypeA)
	m.Id, m.Response, m.Compress = 7, true, true
	for i, texts := range [][]string{answer, authority} {
		for _, text := range texts {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				m.Answer = append(m.Answer, rr)
			} else {
				m.Ns = append(m.Ns, rr)
			}
		}
	}
	if change != nil {
		change(m)
	}
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

const soaText = "example. 900 IN SOA ns.example. admin.example. 1 2 3 4 300"

// plainCases are answers, and whether the short way reads them.
var plainCases = []struct {
	name              string
	answer, authority []string
	change            func(*dns.Msg)
	plain             bool
}{
	{name: "one address", answer: []string{"a.example. 60 IN A 127.0.0.2"}, plain: true},
	{name: "two, and who is the authority", answer: []string{"a.example. 60 IN A 127.0.0.2", "a.example. 30 IN A 127.0.0.4"}, authority: []string{"example. 60 IN NS ns.example."}, plain: true},
	{name: "no such name", authority: []string{soaText}, change: func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, plain: true},
	{name: "no such data, validated, with EDNS", authority: []string{soaText}, change: func(m *dns.Msg) { m.AuthenticatedData = true; m.SetEdns0(1232, false) }, plain: true},
	{name: "nothing at all", plain: true},
	{name: "capitals", change: func(m *dns.Msg) { m.Question[0].Name = "A.eXample." }, plain: true},
	{name: "endless life", answer: []string{"a.example. 4294967295 IN A 127.0.0.2"}, plain: true},
	{name: "an alias", answer: []string{"a.example. 60 IN CNAME b.example.", "b.example. 60 IN A 127.0.0.2"}},
	{name: "another name", answer: []string{"b.example. 60 IN A 127.0.0.2"}},
	{name: "another type", answer: []string{"a.example. 60 IN TXT x"}},
	{name: "SERVFAIL", change: func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }},
	{name: "an extended code", change: func(m *dns.Msg) { m.SetEdns0(1232, false); m.Rcode = dns.RcodeBadVers }},
	{name: "cut", change: func(m *dns.Msg) { m.Truncated = true }},
	{name: "a question", change: func(m *dns.Msg) { m.Response = false }},
	{name: "another question", change: func(m *dns.Msg) { m.Question[0].Name = "b.example." }},
	{name: "another class", change: func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }},
	{name: "no question", change: func(m *dns.Msg) { m.Question = nil }},
}

// TestReadPlain: what the short way reads is what the long way reads.
func TestReadPlain(t *testing.T) {
	for _, tc := range plainCases {
		t.Run(tc.name, func(t *testing.T) {
			wire := message(t, tc.answer, tc.authority, tc.change)
			if ok := samePlain(t, wire); ok != tc.plain {
				t.Errorf("read the short way: %v", ok)
			}
			for n := range wire { // a part of it is nothing
				if _, _, ok := readPlain(wire[:n], key{"a.example.", dns.TypeA}); ok {
					t.Errorf("%d octets of %d are read", n, len(wire))
				}
			}
			if _, _, ok := readPlain(append(wire, 0), key{"a.example.", dns.TypeA}); ok {
				t.Error("an octet more is read")
			}
		})
	}
}

// samePlain reads wire both ways and reports whether the short one does.
func samePlain(t *testing.T, wire []byte) bool {
	t.Helper()
	k := key{"a.example.", dns.TypeA}
	got, validated, ok := readPlain(wire, k)
	var m dns.Msg
	if !ok || m.Unpack(wire) != nil {
		// Records that neither of them uses may be broken.
		return ok
	}
	hops := 0
	want, next, err := read(&m, k, &hops)
	if !answersKey(&m, m.Id, k) || m.Truncated || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError ||
		err != nil || next != "" || validated != m.AuthenticatedData || !reflect.DeepEqual(got, want) {
		t.Errorf("%x is read as %+v, %v, want %+v, %q, %v of %v", wire, got, validated, want, next, err, &m)
	}
	return ok
}

// FuzzPlain holds the short way against the long one.
func FuzzPlain(f *testing.F) {
	for _, tc := range plainCases {
		f.Add(message(f, tc.answer, tc.authority, tc.change))
	}
	f.Fuzz(func(t *testing.T, wire []byte) { samePlain(t, wire) })
}
