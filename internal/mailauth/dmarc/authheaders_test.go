package dmarc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/shared"
)

const authheaders = "data/conformance/authheaders"

// exceptions are the cases that we know not to pass.
var exceptions = map[string]string{
	"test.bad.message": "a part without \"=\" is permerror there; RFC 9989 §4.7 has it discarded, so that p=none holds and the result is fail",
}

// txtZone is DNS with TXT records only.
type txtZone map[string]string

func (z txtZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := z[strings.ToLower(name)]; ok {
		return []string{txt}, nil
	}
	return nil, nil
}

func (z txtZone) Exists(_ context.Context, name string) (bool, error) {
	_, ok := z[name]
	return ok, nil
}

func (txtZone) LookupIP(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }
func (txtZone) LookupMX(context.Context, string) ([]resolver.MX, error)        { return nil, nil }
func (txtZone) LookupAddr(context.Context, netip.Addr) ([]string, error)       { return nil, nil }

// message is one case.
type message struct {
	file          string
	dkim, instead []dmarc.DKIM
	result        authres.Result
	domain        string
	policy        string
}

func readCases(t *testing.T) (txtZone, []*message) {
	data, err := os.ReadFile("testdata/authheaders.txt")
	if err != nil {
		t.Fatal(err)
	}
	z := txtZone{}
	var out []*message
	var m *message
	for line := range strings.SplitSeq(string(data), "\n") {
		key, rest, _ := strings.Cut(line, " ")
		f := append(strings.Fields(rest), "", "", "")
		switch {
		case line == "" || key == "#":
		case key == "message":
			m = &message{file: rest}
			out = append(out, m)
		case m == nil:
			if file, ok := strings.CutPrefix(rest, "@"); ok {
				rest = strings.TrimSpace(string(shared.Read(t, authheaders+"/"+file)))
			}
			z[key] = rest
		case key == "dkim":
			m.dkim = append(m.dkim, dmarc.DKIM{Domain: f[0], Result: authres.Result(f[1])})
		case key == "instead":
			m.instead = append(m.instead, dmarc.DKIM{Domain: f[0], Result: authres.Result(f[1])})
		case key == "dmarc":
			m.result, m.domain, m.policy = authres.Result(f[0]), f[1], f[2]
		default:
			t.Fatalf("line %q", line)
		}
	}
	return z, out
}

// TestConformanceAuthheaders verifies each message of the suite and evaluates
// it. A message that testdata/authheaders.txt does not name has not passed.
func TestConformanceAuthheaders(t *testing.T) {
	z, cases := readCases(t)
	files, err := filepath.Glob(filepath.Join(shared.Path(t, authheaders), "test.*message*"))
	if err != nil {
		t.Fatal(err)
	}
	s := shared.NewSuite("authheaders", exceptions)
	for _, file := range files {
		name := filepath.Base(file)
		i := slices.IndexFunc(cases, func(m *message) bool { return m.file == name })
		if i < 0 {
			s.Case(t, name, fmt.Errorf("no expectation is noted"))
			continue
		}
		s.Case(t, name, cases[i].check(t, z))
	}
	s.Report(t)
}

func (m *message) check(t *testing.T, z txtZone) error {
	raw := bytes.ReplaceAll(shared.Read(t, authheaders+"/"+m.file), []byte("\n"), []byte("\r\n"))
	msg := rawmsg.Scan(raw, rawmsg.Default())
	c, err := mailauth.New(z, mailauth.Default(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var signatures []dmarc.DKIM
	for _, d := range c.Check(t.Context(), mailauth.Input{Raw: msg, Body: func() io.Reader { return bytes.NewReader(raw) }}).DKIM {
		signatures = append(signatures, dmarc.DKIM{Domain: d.Domain, Result: d.Result})
	}
	if !slices.Equal(signatures, m.dkim) {
		return fmt.Errorf("dkim %v, want %v", signatures, m.dkim)
	}
	if m.instead != nil {
		signatures = m.instead
	}
	var from [][]byte
	for i := range msg.Fields {
		if msg.Fields[i].Is("From") {
			from = append(from, msg.Fields[i].Value)
		}
	}
	checker, err := dmarc.New(z, dmarc.ModeTree)
	if err != nil {
		return err
	}
	r := checker.Check(t.Context(), dmarc.ReadFrom(from...), dmarc.Identifiers{DKIM: signatures})
	policy := string(r.Applied.Effective)
	if policy == "" && m.policy == "none" {
		policy = "none"
	}
	if r.Result != m.result || r.Domain != m.domain || policy != m.policy {
		return fmt.Errorf("dmarc %s (%s) about %q, policy %q, want %s, %q, %q", r.Result, r.Reason, r.Domain, policy, m.result, m.domain, m.policy)
	}
	return nil
}
