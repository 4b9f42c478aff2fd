package milter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/scan"
)

// signing is a key store with a fault to order.
type signing struct {
	store *keys.Store
	err   error
}

func (s *signing) Active(domain string) []keys.Key { return s.store.Active(domain) }

func (s *signing) Waiting(domain string) bool { return s.store.Waiting(domain) }

func (s *signing) sign(ks []keys.Key, r io.Reader) ([]string, error) {
	if s.err != nil {
		return nil, s.err
	}
	return keys.Sign(ks, r)
}

func newSigning(t *testing.T) *signing {
	t.Helper()
	st, err := keys.Open(t.TempDir()+"/dkim", quiet())
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []keys.Algorithm{keys.Ed25519, keys.RSA} {
		if _, err := st.Create("example.org", "", alg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.CreatePending("waiting.example", "", keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	return &signing{store: st}
}

func (s *signing) lookupTXT(name string) ([]string, error) {
	for _, k := range s.store.List() {
		if k.Name() == strings.TrimSuffix(name, ".") {
			return []string{k.Record()}, nil
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// aliceOnly is the right to send of one user.
func aliceOnly(_ context.Context, user, as mailaddr.Address) (bool, error) {
	if user.LocalPart == "broken" {
		return false, errors.New("store away")
	}
	return user.String() == "alice@example.org" && as.String() == "alice@example.org", nil
}

// outbound is a message of a user, with what a mail client tells of itself.
func outbound() mail {
	return mail{
		From: "<alice@example.org>", User: "alice@example.org", Rcpt: []string{"<bob@example.net>"},
		Header: []string{
			"From: Alice <alice@example.org>", "To:bob@example.net ", "User-Agent: Mutt", "Subject: a\n\tfolded  subject",
			"X-Originating-IP: [10.1.2.3]", "Date: Fri, 20 Nov 2026 06:52:00 +0000", "user-agent: again", "Message-ID: <2@example.org>",
			"X-Spam-Status: No",
		},
		Body: "Hello Bob\r\n\r\n.dot  \r\ntrailing\r\n\r\n",
	}
}

// What leaves verifies, without our private fields and with both signatures,
// RSA first.
func TestOutboundIsSignedAsItLeaves(t *testing.T) {
	for _, protocol := range []uint32{0x1fffff, 0} {
		sg, j := newSigning(t), &records{}
		cfg := testConfig()
		cfg.SpoolMemory, cfg.SpoolDirectory = 100, t.TempDir()
		ln := serve(t, cfg, Deps{Keys: sg, Sign: sg.sign, MaySend: aliceOnly, Journal: j}, quiet(), scan.Outbound)
		m := ln.dial(t)
		m.negotiate([3]uint32{6, 0x1ff, protocol})
		m.connectFrom("192.0.2.7")
		msg := outbound()
		changes, final := m.transfer(msg)
		if final.Code != 'a' {
			t.Fatalf("answer %v", final)
		}
		fields := queued(t, msg, withSpace(changes, m.protocol))
		want := []string{"Received", "DKIM-Signature", "DKIM-Signature", "From", "To", "Subject", "Date", "Message-ID"}
		if got := names(fields); !reflect.DeepEqual(got, want) {
			t.Errorf("fields %q, want %q", got, want)
		}
		if !strings.Contains(fields[1], "a=rsa-sha256") || !strings.Contains(fields[2], "a=ed25519-sha256") {
			t.Errorf("signatures in the wrong order: %q", fields[1:3])
		}
		wire := strings.ReplaceAll(strings.Join(fields, "\n"), "\n", "\r\n") + "\r\n\r\n" + msg.Body
		for _, flip := range []bool{false, true} {
			if flip {
				wire = strings.Replace(wire, "Hello", "hello", 1)
			}
			vs, err := dkim.VerifyWithOptions(strings.NewReader(wire), &dkim.VerifyOptions{LookupTXT: sg.lookupTXT})
			if err != nil || len(vs) != 2 {
				t.Fatalf("verify: %v, %d signatures", err, len(vs))
			}
			for _, v := range vs {
				if (v.Err != nil) != flip {
					t.Errorf("flip %v: verification %v", flip, v.Err)
				}
			}
		}
		r := j.last(t)
		if got := r.fact("signature"); !strings.HasPrefix(got, "example.org s=") || r.fact("unsigned") != "" {
			t.Errorf("journal: signature %q, unsigned %q", got, r.fact("unsigned"))
		}
		m.quit()
	}
}

// withSpace gives changes the blank that the MTA adds without HDR_LEADSPC.
func withSpace(changes []packet, protocol uint32) []packet {
	if protocol&0x100000 != 0 {
		return changes
	}
	var out []packet
	for _, c := range changes {
		if at := strings.IndexByte(c.Data[4:], 0) + 4; c.Code != 'm' {
			c.Data = c.Data[:at+1] + " " + c.Data[at+1:]
		}
		out = append(out, c)
	}
	return out
}

func TestUnsignedHasOneReason(t *testing.T) {
	from := func(h string) func(*mail) { return func(m *mail) { m.Header[0] = h } }
	for _, tc := range []struct {
		name     string
		listener scan.Direction
		change   func(*mail)
		keyFault error
		want     string // the one reason, or "" for signed
		answer   string
	}{
		{"signed", scan.Outbound, func(*mail) {}, nil, "", "a"},
		{"another's address", scan.Outbound, from("From: bob@example.org"), nil, "the login may not use the header From", "a"},
		{"no key", scan.Outbound, from("From: alice@elsewhere.example"), nil, "no key for the domain of the header From", "a"},
		{"key that is not published", scan.Outbound, from("From: alice@waiting.example"), nil, "no key for the domain of the header From is active", "a"},
		{"no From", scan.Outbound, from("Sender: alice@example.org"), nil, "no header From", "a"},
		{"two From", scan.Outbound, func(m *mail) { m.Header = append(m.Header, m.Header[0]) }, nil, "more than one header From", "a"},
		{"second From behind 5,000 fields", scan.Outbound, func(m *mail) {
			m.Header = append(append(m.Header, slices.Repeat([]string{"X: y"}, 5000)...), "From: boss@example.org")
		}, nil, "the header cannot be read whole", "a"},
		{"second From behind 300 KB", scan.Outbound, func(m *mail) {
			m.Header = append(append(m.Header, slices.Repeat([]string{"X: " + strings.Repeat("y", 30000)}, 10)...), "From: boss@example.org")
		}, nil, "the header cannot be read whole", "a"},
		{"second From behind a name that is none", scan.Outbound, func(m *mail) {
			m.Header = append(m.Header, "X-\xe9: y", "From: boss@example.org")
		}, nil, "the header cannot be read whole", "a"},
		{"long part header", scan.Outbound, func(m *mail) {
			m.Header = append(m.Header, "Content-Type: multipart/mixed; boundary=b")
			m.Body = "--b\r\nX: " + strings.Repeat("y", 110<<10) + "\r\n\r\ntext\r\n--b--\r\n"
		}, nil, "", "a"},
		{"two authors", scan.Outbound, from("From: alice@example.org, bob@example.org"), nil, "the header From is not one mailbox", "a"},
		{"unreadable From", scan.Outbound, from("From: alice@"), nil, "the header From cannot be read", "a"},
		{"login that is no address", scan.Outbound, func(m *mail) { m.User = "@@" }, nil, "the login may not use the header From", "a"},
		{"rights not known", scan.Outbound, func(m *mail) { m.User = "broken@example.org" }, nil, "the sender's rights are not known now", "y"},
		{"key broken", scan.Outbound, func(*mail) {}, errors.New("bad key"), "the key could not be used", "y"},
		{"key broken, null sender", scan.Outbound, func(m *mail) { m.From = "<>" }, errors.New("bad key"), "the key could not be used", "a"},
		{"network", scan.Outbound, func(m *mail) { m.User = "" }, nil, "", "a"},
		{"network, foreign domain", scan.Outbound, func(m *mail) { m.User = ""; from("From: x@elsewhere.example")(m) }, nil,
			"the network may not send for the domain of the header From", "a"},
		{"local", scan.Local, func(m *mail) { m.User = "" }, nil, "", "a"},
		{"local, foreign domain", scan.Local, func(m *mail) { m.User = ""; from("From: x@elsewhere.example")(m) }, nil,
			"the domain of the header From is not one of local_senders", "a"},
		{"own", scan.Own, func(m *mail) {
			m.User, m.From = "", "<>"
			m.Header = append([]string{"Message-ID: <notice@example.org>"}, m.Header...)
		}, nil, "", "a"},
		{"own, not null", scan.Own, func(m *mail) {
			m.User = ""
			m.Header = append([]string{"Message-ID: <notice@example.org>"}, m.Header...)
		}, nil, "", "a"},
		{"own, redirected", scan.Own, func(m *mail) { m.User = "" }, nil, "a message that Gatepost did not write", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sg, j := newSigning(t), &records{}
			sg.err = tc.keyFault
			cfg := testConfig()
			cfg.LocalSenders = []string{"example.org"}
			cfg.SubmissionNetworks = []SubmissionNetwork{{Networks: []netaddr.Prefix{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}, Domains: []string{"Example.ORG"}}}
			ln := serve(t, cfg, Deps{Keys: sg, Sign: sg.sign, MaySend: aliceOnly, Journal: j,
				Wrote: func(id string) bool { return id == "<notice@example.org>" }}, quiet(), tc.listener)
			msg := outbound()
			tc.change(&msg)
			changes, final := ln.dial(t).hello().transfer(msg)
			if string(final.Code) != tc.answer || final.Code == 'y' && !strings.HasPrefix(final.Data, "451 4.3.0 ") {
				t.Errorf("answer %v", final)
			}
			r := j.last(t)
			if got := r.fact("unsigned"); got != tc.want {
				t.Errorf("unsigned because %q, want %q", got, tc.want)
			}
			signed := slices.ContainsFunc(changes, func(p packet) bool { return strings.Contains(p.Data, "DKIM-Signature") })
			if signed != (tc.want == "") || (r.fact("signature") != "") != signed {
				t.Errorf("signed %v, journal %q", signed, r.fact("signature"))
			}
		})
	}
}

// Mail of strangers is not signed, also where it comes from the submission
// listener, and it keeps its own fields.
func TestInboundIsNotSigned(t *testing.T) {
	for _, d := range []scan.Direction{scan.Inbound, scan.Outbound} {
		sg := newSigning(t)
		ln := serve(t, testConfig(), Deps{Keys: sg, Sign: sg.sign, MaySend: aliceOnly}, quiet(), d)
		msg := outbound()
		msg.User = ""
		changes, _ := ln.dial(t).hello().transfer(msg)
		got := names(queued(t, msg, changes))
		if slices.Contains(got, "DKIM-Signature") || !slices.Contains(got, "User-Agent") || !slices.Contains(got, "X-Originating-IP") || !slices.Contains(got, "Authentication-Results") {
			t.Errorf("%v: fields %q", d, got)
		}
	}
}

// A key that fails is one alarm for its domain until the next reload.
func TestKeyAlarmOnce(t *testing.T) {
	var logged syncBuffer
	sg := newSigning(t)
	sg.err = errors.New("bad key")
	s, err := New(testConfig(), Deps{Keys: sg, Sign: sg.sign, MaySend: aliceOnly}, slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		t.Fatal(err)
	}
	m := serveOn(t, s, scan.Outbound).dial(t).hello()
	for i, want := range []int{1, 1, 2} {
		if i == 2 {
			s.Reconfigure(testConfig())
		}
		m.transfer(outbound())
		m.send('A')
		if got := strings.Count(logged.String(), "signing key does not work"); got != want {
			t.Errorf("after message %d: %d alarms, want %d", i, got, want)
		}
	}
}
