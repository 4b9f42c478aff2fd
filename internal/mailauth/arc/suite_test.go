package arc

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/shared"
)

// txtZone is a DNS of TXT records; a name that stands in broken has no answer.
type txtZone struct {
	txt    map[string]string
	broken map[string]bool
}

func (z txtZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if z.broken[name] {
		return nil, errors.New("no answer")
	}
	if txt, ok := z.txt[name]; ok {
		return []string{txt}, nil
	}
	return nil, nil
}

// scenario is a document of the suite. The cases keep their order, because
// some names come twice.
type scenario struct {
	Description string            `yaml:"description"`
	Tests       yaml.MapSlice     `yaml:"tests"`
	TXT         map[string]string `yaml:"txt-records"`
	Domain      string            `yaml:"domain"`
	Selector    string            `yaml:"sel"`
	Key         string            `yaml:"privatekey"`
}

// readSuite returns the scenarios of a file.
func readSuite(t *testing.T, file string) []scenario {
	t.Helper()
	dec := yaml.NewDecoder(bytes.NewReader(shared.Read(t, "data/conformance/arc-suite-valimail/tests/"+file)), yaml.AllowDuplicateMapKey())
	var all []scenario
	for {
		var s scenario
		err := dec.Decode(&s)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
}

// cases calls f for each case, with a name that is its own.
func (s scenario) cases(number int, f func(name string, fields map[string]string)) {
	seen := map[string]int{}
	for _, item := range s.Tests {
		name := fmt.Sprint(item.Key)
		seen[name]++
		id := fmt.Sprintf("%d/%s", number, name)
		if seen[name] > 1 {
			id = fmt.Sprintf("%s#%d", id, seen[name])
		}
		fields := map[string]string{}
		if m, ok := item.Value.(yaml.MapSlice); ok {
			for _, kv := range m {
				fields[fmt.Sprint(kv.Key)] = fmt.Sprint(kv.Value)
			}
		}
		if m, ok := item.Value.(map[string]any); ok {
			for k, v := range m {
				fields[k] = fmt.Sprint(v)
			}
		}
		f(id, fields)
	}
}

// check verifies the chain of msg.
func check(t testing.TB, z txtZone, msg []byte, now time.Time) (*dkim.Message, *dkim.BodyHash, Result) {
	t.Helper()
	m := dkim.NewMessage(rawmsg.Scan(msg, rawmsg.Default()))
	keys := dkim.NewKeys(z)
	defer keys.Wait()
	v := Start(context.Background(), m, keys, now)
	body := m.Body(dkim.Relaxed, dkim.Whole)
	if err := m.ReadBody(context.Background(), bytes.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	return m, body, v.Result()
}

// countZone is an empty DNS that counts questions.
type countZone struct {
	mu sync.Mutex
	n  int
}

func (z *countZone) LookupTXT(context.Context, string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.n++
	return nil, nil
}

func checkWith(t testing.TB, z *countZone, msg []byte) (*dkim.Message, Result) {
	t.Helper()
	m := dkim.NewMessage(rawmsg.Scan(msg, rawmsg.Default()))
	keys := dkim.NewKeys(z)
	defer keys.Wait()
	v := Start(context.Background(), m, keys, testTime)
	if err := m.ReadBody(context.Background(), bytes.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	return m, v.Result()
}

func TestValidationSuite(t *testing.T) {
	suite := shared.NewSuite("arc-validation", nil)
	for n, s := range readSuite(t, "arc-draft-validation-tests.yml") {
		s.cases(n+1, func(name string, c map[string]string) {
			_, _, r := check(t, txtZone{txt: s.TXT}, []byte(c["message"]), time.Now())
			var err error
			want := strings.ToLower(strings.TrimSpace(c["cv"]))
			if _, is := c["cv"]; is && want == "" {
				// Chains that say cv=fail themselves: the suite, older than the
				// RFC, wants no word about them; RFC 8617 §5.2 step 2 says fail.
				want = "fail"
			}
			if string(r.Result) != want {
				err = fmt.Errorf("%s: cv is %s (%s), want %q", c["description"], r.Result, r.Reason, want)
			}
			suite.Case(t, name, err)
		})
	}
	suite.Report(t)
}

func TestSigningSuite(t *testing.T) {
	suite := shared.NewSuite("arc-signing", nil)
	for n, s := range readSuite(t, "arc-draft-sign-tests.yml") {
		block, _ := pem.Decode([]byte(s.Key))
		if block == nil {
			t.Fatal("no private key in the suite")
		}
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		s.cases(n+1, func(name string, c map[string]string) {
			var sec int64
			_, _ = fmt.Sscan(c["t"], &sec)
			now := time.Unix(sec, 0)
			m, body, chain := check(t, txtZone{txt: s.TXT}, []byte(c["message"]), time.Now())
			sealer := &Sealer{Domain: s.Domain, Selector: s.Selector, Key: key, Names: strings.Split(c["sig-headers"], ":")}
			suite.Case(t, name, compare(sealer, m, body, chain, c, now))
		})
	}
	suite.Report(t)
}

// compare seals, and holds the fields against those of the suite.
func compare(s *Sealer, m *dkim.Message, body *dkim.BodyHash, chain Result, c map[string]string, now time.Time) error {
	fields, err := s.Seal(m, body, chain, resultsOf(m, c["srv-id"]), now)
	if strings.TrimSpace(c["AS"]) == "" {
		if !errors.Is(err, ErrChain) {
			return fmt.Errorf("%s: sealed, must not", c["description"])
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i, want := range []string{c["AS"], c["AMS"], c["AAR"]} {
		if got := fields[i].Value; squash(got, i < 2) != squash(want, i < 2) {
			return fmt.Errorf("%s of a chain that is %s (%s): %q, want %q", fields[i].Name, chain.Result, chain.Reason, squash(got, i < 2), squash(want, i < 2))
		}
	}
	return nil
}

// squash takes the white space out of a field, or leaves one blank for a run.
func squash(s string, all bool) string {
	if all {
		return strings.Join(strings.Fields(s), "")
	}
	return strings.Join(strings.Fields(s), " ")
}

// resultsOf joins the Authentication-Results fields of m that bear authservID, in
// their order, into one text for Seal: the suite gives them as fields, a receiver
// has them as values.
func resultsOf(m *dkim.Message, authservID string) string {
	parts := []string{authservID}
	for _, i := range m.Named("authentication-results") {
		id, rest, _ := strings.Cut(header.Unfold(m.Raw().Fields[i].Value), ";")
		rest = strings.Trim(rest, "; \t")
		if strings.EqualFold(strings.Trim(id, " \t"), authservID) && rest != "" && rest != "none" {
			parts = append(parts, rest)
		}
	}
	if len(parts) == 1 {
		parts = append(parts, "none")
	}
	return strings.Join(parts, "; ")
}
