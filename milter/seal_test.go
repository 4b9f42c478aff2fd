package milter

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/scan"
)

// keyZone is a DNS that has the records of a key store, and nothing else.
type keyZone struct {
	sg  *signing
	ill bool
}

func (z *keyZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if z.ill && strings.Contains(name, "._domainkey.") {
		return nil, errors.New("no server answered")
	}
	txt, _ := z.sg.lookupTXT(name)
	return txt, nil
}

func (*keyZone) LookupIP(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }
func (*keyZone) LookupMX(context.Context, string) ([]resolver.MX, error)        { return nil, nil }
func (*keyZone) LookupAddr(context.Context, netip.Addr) ([]string, error)       { return nil, nil }
func (*keyZone) Exists(context.Context, string) (bool, error)                   { return false, nil }

// sealing is a milter host that may seal.
type sealing struct {
	t      *testing.T
	zone   *keyZone
	cfg    Config
	deps   Deps
	j      *records
	alarms syncBuffer
	// protocol is what the MTA offers.
	protocol uint32
}

func newSealing(t *testing.T, domain string) *sealing {
	t.Helper()
	h := &sealing{t: t, zone: &keyZone{sg: newSigning(t)}, cfg: testConfig(), j: &records{}, protocol: 0x1fffff}
	if _, err := h.zone.sg.store.Create("ed.example", "", keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	h.cfg.ARCSeal = domain
	checker, err := mailauth.New(h.zone, mailauth.Default(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	h.deps = Deps{Auth: checker, Keys: h.zone.sg, Sign: h.zone.sg.sign, MaySend: aliceOnly, Scan: scan.Scan, Journal: h.j}
	return h
}

// serve returns an MTA in a session with a server of h.
func (h *sealing) serve(d scan.Direction) *mta {
	h.t.Helper()
	log := slog.New(slog.NewTextHandler(&h.alarms, &slog.HandlerOptions{Level: slog.LevelError}))
	m := serve(h.t, h.cfg, h.deps, log, d).dial(h.t)
	m.negotiate([3]uint32{6, 0x1ff, h.protocol})
	m.connectFrom("192.0.2.7")
	return m
}

// pass returns the header fields of msg as it stands in the queue, below the
// Received of the MTA.
func (h *sealing) pass(msg mail) []string {
	h.t.Helper()
	m := h.serve(scan.Inbound)
	changes, final := m.transfer(msg)
	if final.Code != 'a' {
		h.t.Fatalf("answer %v", final)
	}
	return queued(h.t, msg, withSpace(changes, m.protocol))[1:]
}

// chain verifies the chain of a message in the queue.
func (h *sealing) chain(fields []string, body string) arc.Result {
	wire := strings.ReplaceAll(strings.Join(fields, "\n"), "\n", "\r\n") + "\r\n\r\n" + body
	m := dkim.NewMessage(rawmsg.Scan([]byte(wire), rawmsg.Default()))
	ks := dkim.NewKeys(h.zone)
	defer ks.Wait()
	v := arc.Start(h.t.Context(), m, ks, time.Now())
	if err := m.ReadBody(h.t.Context(), strings.NewReader(wire)); err != nil {
		h.t.Fatal(err)
	}
	return v.Result()
}

// fromOutside is a message with what a seal has to leave out.
func fromOutside() mail {
	msg := plain()
	msg.Header = append(msg.Header, "X-Spam-Status: No", "Authentication-Results: mx.example.org; dkim=pass header.d=bank.example",
		"Authentication-Results: other.example; spf=pass", "List-Id: <list.example.net>",
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s; h=from; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=AAAA")
	msg.Body = "Hello  Alice \r\n\r\n" + strings.Repeat("a line of text\r\n", 50) + "\r\n\r\n"
	return msg
}

// A message goes through two hosts that seal it; its chain passes behind each,
// and only as long as nobody changes the message.
func TestSeal(t *testing.T) {
	for _, tc := range []struct {
		name, first, second string
		protocol            uint32
	}{
		{"RSA", "example.org", "Example.ORG", 0x1fffff},
		{"no leading space", "example.org", "ed.example", 0},
		{"Ed25519", "ed.example", "example.org", 0x1fffff},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newSealing(t, tc.first)
			h.protocol = tc.protocol
			h.cfg.SpoolMemory, h.cfg.SpoolDirectory = 100, t.TempDir()
			msg := fromOutside()
			for i, domain := range []string{tc.first, tc.second} {
				h.cfg.ARCSeal = domain
				msg.Header = h.pass(msg)
				ns := names(msg.Header)
				if want := []string{"ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results", "Authentication-Results"}; !slices.Equal(ns[:4], want) {
					t.Fatalf("fields %q, want %q on top", ns, want)
				}
				c := h.chain(msg.Header, msg.Body)
				if c.Result != authres.Pass || len(c.Sets) != i+1 || c.OldestPass != 0 {
					t.Fatalf("hop %d: chain %+v", i+1, c)
				}
				set := c.Sets[i]
				if set.AuthservID != "mx.example.org" || set.Seal.Domain != strings.ToLower(domain) ||
					!strings.Contains(set.Results, "; dmarc=") || strings.Contains(set.Results, "bank.example") ||
					strings.Contains(set.Results, "arc=pass") != (i == 1) {
					t.Errorf("hop %d: set %+v", i+1, set)
				}
				if n := strings.ToLower(strings.Join(set.Message.Names, ":")); strings.Contains(n, "authentication-results") || strings.Contains(n, "x-") ||
					strings.Contains(n, "arc-") || !strings.Contains(n, "dkim-signature") || !strings.Contains(n, "subject:subject") {
					t.Errorf("hop %d: signed are %s", i+1, n)
				}
				if r := h.j.last(t); !strings.HasPrefix(r.fact("seal"), strings.ToLower(domain)+" s=") || r.fact("unsealed") != "" {
					t.Errorf("hop %d: journal: seal %q, unsealed %q", i+1, r.fact("seal"), r.fact("unsealed"))
				}
			}
			for name, fields := range map[string][]string{
				"a second Subject": append([]string{"Subject: other"}, msg.Header...),
				"another List-Id": slices.Concat(slices.DeleteFunc(slices.Clone(msg.Header), func(f string) bool { return strings.HasPrefix(f, "List-Id") }),
					[]string{"List-Id: <x>"}),
			} {
				if c := h.chain(fields, msg.Body); c.Result != authres.Fail {
					t.Errorf("%s: chain %+v", name, c)
				}
			}
			if c := h.chain(msg.Header, "x"+msg.Body); c.Result != authres.Fail {
				t.Errorf("other body: chain %+v", c)
			}
			if h.alarms.String() != "" {
				t.Errorf("logged %s", &h.alarms)
			}
		})
	}
}

// A chain that fails here is sealed as failed (RFC 8617 §5.1.2), and that is its
// end: nothing is added to one that says so itself.
func TestSealOfBrokenChain(t *testing.T) {
	h := newSealing(t, "example.org")
	msg := fromOutside()
	msg.Header = h.pass(msg)
	msg.Body = "changed\r\n"
	msg.Header = h.pass(msg)
	if c := h.chain(msg.Header, msg.Body); !strings.Contains(msg.Header[0], "cv=fail") || !strings.Contains(msg.Header[0], "i=2") ||
		c.Result != authres.Fail || c.Reason != "a handler before us found the chain broken" {
		t.Errorf("seal %q, chain %+v", msg.Header[0], c)
	}
	again := h.pass(msg)
	if got := h.j.last(t).fact("unsealed"); got != "the ARC chain was broken before us or is full" || again[0] == msg.Header[0] ||
		slices.Index(names(again), "ARC-Seal") < slices.Index(names(again), "Authentication-Results") {
		t.Errorf("unsealed because %q: fields %q", got, names(again))
	}
}

// A message that is not sealed is let in, for one reason, with one alarm where
// the key is at fault.
func TestUnsealedHasOneReason(t *testing.T) {
	many := func(m *mail) { m.Header = append(m.Header, slices.Repeat([]string{"References: <1@x>"}, 100)...) }
	for _, tc := range []struct {
		name, domain string
		change       func(*sealing, *mail)
		want         string
		alarms       int
	}{
		{"off", "", func(*sealing, *mail) {}, "", 0},
		{"no key", "none.example", func(*sealing, *mail) {}, "no key for the domain of milter.arc_seal", 1},
		{"key that is not published", "waiting.example", func(*sealing, *mail) {}, "no key for the domain of milter.arc_seal is active", 1},
		{"no keys at all", "example.org", func(h *sealing, _ *mail) { h.deps.Keys = nil }, "sealing needs the checks and the keys", 0},
		{"no checks", "example.org", func(h *sealing, _ *mail) { h.deps.Auth = nil }, "sealing needs the checks and the keys", 0},
		{"not read", "example.org", func(h *sealing, _ *mail) { h.deps.Auth = fixedAuth{} }, "the message could not be read in time", 0},
		{"one field too often", "example.org", func(_ *sealing, m *mail) { many(m) }, "too many header fields to sign", 0},
		{"long header", "example.org", func(_ *sealing, m *mail) { m.Header = append(m.Header, slices.Repeat([]string{"X: y"}, 5000)...) }, "the header cannot be read whole", 0},
		{"DNS away", "example.org", func(h *sealing, m *mail) { m.Header, h.zone.ill = h.pass(*m), true }, "the ARC chain could not be checked for now", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newSealing(t, tc.domain)
			msg := plain()
			tc.change(h, &msg)
			m := h.serve(scan.Inbound)
			for range 2 {
				changes, final := m.transfer(msg)
				m.send('A')
				if final.Code != 'a' || slices.ContainsFunc(changes, func(p packet) bool { return strings.Contains(p.Data, "ARC-") }) {
					t.Errorf("answer %v, changes %q", final, changes)
				}
				if r := h.j.last(t); r.fact("unsealed") != tc.want || r.fact("seal") != "" {
					t.Errorf("unsealed because %q, want %q", r.fact("unsealed"), tc.want)
				}
			}
			if got := strings.Count(h.alarms.String(), "mail is not sealed"); got != tc.alarms {
				t.Errorf("%d alarms, want %d", got, tc.alarms)
			}
		})
	}
}

// A reload switches sealing on and off, and lets a missing key be told of anew.
func TestSealIsReloaded(t *testing.T) {
	h := newSealing(t, "")
	s, err := New(h.cfg, h.deps, slog.New(slog.NewTextHandler(&h.alarms, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		t.Fatal(err)
	}
	m := serveOn(t, s, scan.Inbound).dial(t).hello()
	for i, step := range []struct {
		domain string
		sealed bool
		alarms int
	}{{"", false, 0}, {"example.org", true, 0}, {"none.example", false, 1}, {"none.example", false, 2}, {"", false, 2}} {
		h.cfg.ARCSeal = step.domain
		s.Reconfigure(h.cfg)
		changes, _ := m.transfer(plain())
		m.send('A')
		sealed := slices.ContainsFunc(changes, func(p packet) bool { return strings.Contains(p.Data, "ARC-Seal") })
		if got := strings.Count(h.alarms.String(), "mail is not sealed"); sealed != step.sealed || got != step.alarms {
			t.Errorf("step %d: sealed %v, %d alarms", i, sealed, got)
		}
	}
}

// fixedAuth is a check that hashed nothing.
type fixedAuth struct{}

func (fixedAuth) Check(context.Context, mailauth.Input) mailauth.Results { return mailauth.Results{} }

// Neither what users send nor what is refused is sealed.
func TestOnlyWhatComesInIsSealed(t *testing.T) {
	h := newSealing(t, "example.org")
	changes, final := h.serve(scan.Outbound).transfer(outbound())
	if final.Code != 'a' || slices.ContainsFunc(changes, func(p packet) bool { return strings.Contains(p.Data, "ARC-") }) {
		t.Errorf("answer %v, changes %q", final, changes)
	}
	msg := plain()
	msg.Body = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
	_, final = h.serve(scan.Inbound).transfer(msg)
	if r := h.j.last(t); final.Code != 'y' || !strings.HasPrefix(final.Data, "554") || r.fact("seal") != "" || r.fact("unsealed") != "" {
		t.Errorf("answer %v, facts %v", final, r.Facts)
	}
}
