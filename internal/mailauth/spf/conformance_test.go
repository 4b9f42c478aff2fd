package spf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/shared"
)

var errTemporary = errors.New("no server answered")

// zone is DNS as maps from names in lower case. It counts what is asked.
type zone struct {
	txt map[string][]string
	ip  map[string][]netip.Addr
	mx  map[string][]resolver.MX
	ptr map[string][]string // by address

	alias map[string]string
	ill   map[string]bool // no answer
	mu    sync.Mutex      // guards asked
	asked int
}

func newZone() *zone {
	return &zone{
		txt: map[string][]string{}, ip: map[string][]netip.Addr{}, mx: map[string][]resolver.MX{},
		ptr: map[string][]string{}, alias: map[string]string{}, ill: map[string]bool{},
	}
}

// follow counts a question and follows aliases.
func (z *zone) follow(ctx context.Context, name string) (string, error) {
	z.mu.Lock()
	z.asked++
	z.mu.Unlock()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for hops := 0; z.alias[name] != ""; hops++ {
		if hops == 10 {
			return "", errTemporary
		}
		name = z.alias[name]
	}
	return name, ctx.Err()
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	name, err := z.follow(ctx, name)
	if err == nil && z.ill[name] && len(z.txt[name]) == 0 {
		err = errTemporary
	}
	return z.txt[name], err
}

func (z *zone) LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	name, err := z.follow(ctx, name)
	if err == nil && z.ill[name] {
		err = errTemporary
	}
	var out []netip.Addr
	for _, a := range z.ip[name] {
		if a.Is4() == (network == "ip4") {
			out = append(out, a)
		}
	}
	return out, err
}

func (z *zone) LookupMX(ctx context.Context, name string) ([]resolver.MX, error) {
	name, err := z.follow(ctx, name)
	if err == nil && z.ill[name] {
		err = errTemporary
	}
	return z.mx[name], err
}

func (z *zone) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	name, err := z.follow(ctx, reverse(addr))
	if err == nil && z.ill[name] {
		err = errTemporary
	}
	return z.ptr[name], err
}

// reverse returns the name of the PTR records of a.
func reverse(a netip.Addr) string {
	parts := strings.Split(dotted(a), ".")
	slices.Reverse(parts)
	if a.Is4() {
		return strings.Join(parts, ".") + ".in-addr.arpa"
	}
	return strings.ToLower(strings.Join(parts, ".")) + ".ip6.arpa"
}

// suiteDoc is one document of a suite.
type suiteDoc struct {
	Description string               `yaml:"description"`
	Tests       map[string]suiteCase `yaml:"tests"`
	Zone        map[string][]any     `yaml:"zonedata"`
}

// suiteCase is one case. Result and explanation are text or a list.
type suiteCase struct {
	Helo        string `yaml:"helo"`
	Host        string `yaml:"host"`
	MailFrom    string `yaml:"mailfrom"`
	Result      any    `yaml:"result"`
	Explanation any    `yaml:"explanation"`
}

// texts returns v, a text or a list of texts, as a list.
func texts(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var out []string
		for _, s := range v {
			out = append(out, fmt.Sprint(s))
		}
		return out
	}
	return []string{fmt.Sprint(v)}
}

// suiteZone builds the zone of a document. A record of type SPF stands for TXT
// where the name has no TXT of its own, as the suite's notes want it.
func suiteZone(t testing.TB, doc suiteDoc) *zone {
	t.Helper()
	z := newZone()
	for name, records := range doc.Zone {
		name = strings.ToLower(name)
		var spf []string
		hasTXT := false
		for _, r := range records {
			if r == "TIMEOUT" {
				z.ill[name] = true
				continue
			}
			m, ok := r.(map[string]any)
			if !ok || len(m) != 1 {
				t.Fatalf("%s: record %v", name, r)
			}
			for typ, v := range m {
				list := texts(v)
				switch typ {
				case "SPF":
					spf = append(spf, latin1(strings.Join(list, "")))
				case "TXT":
					hasTXT = true
					if s := strings.Join(list, ""); s != "NONE" {
						z.txt[name] = append(z.txt[name], latin1(s))
					}
				case "A", "AAAA":
					z.ip[name] = append(z.ip[name], netip.MustParseAddr(list[0]))
				case "MX":
					z.mx[name] = append(z.mx[name], resolver.MX{Host: strings.ToLower(strings.TrimSuffix(list[1], "."))})
				case "PTR":
					z.ptr[name] = append(z.ptr[name], strings.ToLower(strings.TrimSuffix(list[0], ".")))
				case "CNAME":
					z.alias[name] = strings.ToLower(strings.TrimSuffix(list[0], "."))
				case "CNAMELOOP":
					z.alias[name] = name
				case "TIMEOUT", "SERVFAIL":
					z.ill[name] = true
				default:
					t.Fatalf("%s: record of type %s", name, typ)
				}
			}
		}
		if !hasTXT {
			z.txt[name] = append(z.txt[name], spf...)
		}
	}
	return z
}

// latin1 turns the runes of YAML's \xNN into the octets that they stand for.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xFF {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

// run evaluates c as its suite has it.
func (c suiteCase) run(z *zone) error {
	addr, err := netip.ParseAddr(c.Host)
	if err != nil {
		return err
	}
	client := Client{Addr: addr, Helo: c.Helo, Explain: true}
	check := New(z, "receiver.example.com")
	var v Verdict
	if c.MailFrom == "" {
		v = check.Helo(context.Background(), client).Verdict
	} else {
		at := strings.LastIndexByte(c.MailFrom, '@')
		from := mailaddr.Address{LocalPart: c.MailFrom[:at], Domain: c.MailFrom[at+1:]}
		v = check.MailFrom(context.Background(), client, from).Verdict
	}
	if want := texts(c.Result); !slices.Contains(want, string(v.Result)) {
		return fmt.Errorf("%s, want %v (%s %s)", v.Result, want, v.Reason, v.Problem)
	}
	if v.Result != authres.Fail {
		return nil
	}
	want := texts(c.Explanation)
	for i, s := range want {
		if s == "DEFAULT" { // ours is to give none
			want[i] = ""
		}
	}
	if len(want) > 0 && !slices.Contains(want, string(v.Explanation)) {
		return fmt.Errorf("explanation %q, want %q", v.Explanation, want)
	}
	return nil
}

// runSuite runs the cases of all documents in file. It returns how many there
// are, which must be as many as there are lines with a result.
func runSuite(t *testing.T, s *shared.Suite, file, prefix string) (cases int) {
	t.Helper()
	raw := shared.Read(t, "data/conformance/"+file)
	defer func() {
		if lines := len(resultLine.FindAll(raw, -1)); cases != lines {
			t.Errorf("%s: %d cases were run of %d", file, cases, lines)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	for n := 1; ; n++ {
		var doc suiteDoc
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return cases
		}
		if err != nil {
			t.Fatalf("%s: document %d: %v", file, n, err)
		}
		z := suiteZone(t, doc)
		for name, c := range doc.Tests {
			s.Case(t, fmt.Sprintf("%s%d/%s", prefix, n, name), c.run(z))
			cases++
		}
	}
}

var resultLine = regexp.MustCompile(`(?m)^ +result:`)

func TestConformanceRFC7208(t *testing.T) {
	s := shared.NewSuite("spf-rfc7208", nil)
	runSuite(t, s, "spf-rfc7208/rfc7208-tests.yml", "")
	s.Report(t)
}

// pyspfExceptions are the cases that RFC 7208 decides otherwise.
var pyspfExceptions = map[string]string{
	"pyspf/4/default-modifier":       "default= is an unknown modifier, which is ignored (RFC 7208 §6); the case wants pyspf's lax mode for drafts before RFC 4408",
	"pyspf/4/default-modifier-harsh": "\"ambiguous\" is pyspf's own word and no result (RFC 7208 §2.6); an unknown modifier is ignored (§6)",
}

func TestConformancePySPF(t *testing.T) {
	s := shared.NewSuite("spf-pyspf", pyspfExceptions)
	runSuite(t, s, "spf-pyspf/test/test.yml", "pyspf/")
	runSuite(t, s, "spf-pyspf/test/rfc4408-tests.yml", "rfc4408/")
	runSuite(t, s, "spf-pyspf/test/rfc7208-tests.yml", "rfc7208/")
	s.Report(t)
}
