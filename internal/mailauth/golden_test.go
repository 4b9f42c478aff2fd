package mailauth_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
)

var update = flag.Bool("update", false, "rewrite the .want files")

const (
	goldenDir = "testdata/golden"
	// goldenReceiver is who checks.
	goldenReceiver = "mx.example.net"
)

// goldenSession is how a message of the set came in, and what DNS says then.
type goldenSession struct {
	ip   netip.Addr
	helo string
	from string
	// attacked is the domain that the message must not pass for; "" in a
	// control, which must pass.
	attacked string
	zone     *dnstest.Zone
}

// TestGolden checks messages that make two programs disagree about who sent
// them, after J. Chen, V. Paxson and J. Jiang, "Composition Kills: A Case Study
// of Email Sender Authentication" (USENIX Security 2020); A1 and so on in the
// .readme files are its attacks. None may pass DMARC, or escape the policy of
// the attacked domain, or say anything in Authentication-Results that is not a
// result of ours. NAME.in is the message, .session how it came, .want what we
// say, .readme why it is there, and "zone" the DNS of all. -update rewrites
// .want, but for a message that passes and must not.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(goldenDir, "*.in"))
	if err != nil {
		t.Fatal(err)
	}
	attacks := 0
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".in")
		t.Run(name, func(t *testing.T) {
			s := readGolden(t, name)
			if s.attacked != "" {
				attacks++
			}
			golden(t, name, s)
		})
	}
	if attacks < 30 {
		t.Errorf("%d attacks in %s, want 30 and more", attacks, goldenDir)
	}
}

func goldenFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(goldenDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readGolden reads NAME.session: "ip ADDR", "helo" and "from" as quoted Go
// strings, "attacked DOMAIN" or "control", and lines for the zone, of which
// "txt NAME TEXT" has quoted Go strings with whatever octets.
func readGolden(t *testing.T, name string) goldenSession {
	t.Helper()
	if len(goldenFile(t, name+".readme")) == 0 {
		t.Errorf("%s.readme does not say why", name)
	}
	s := goldenSession{zone: dnstest.NewZone()}
	if err := s.zone.Add(string(goldenFile(t, "zone"))); err != nil {
		t.Fatal(err)
	}
	control := false
	for line := range strings.Lines(string(goldenFile(t, name+".session"))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "ip":
			s.ip, err = netip.ParseAddr(value)
		case "helo":
			s.helo, err = strconv.Unquote(value)
		case "from":
			s.from, err = strconv.Unquote(value)
		case "attacked":
			s.attacked = value
		case "control":
			control = true
		case "txt":
			err = s.addTXT(value)
		default:
			err = s.zone.Add(line)
		}
		if err != nil {
			t.Fatalf("%s.session: %s: %v", name, line, err)
		}
	}
	if control == (s.attacked != "") {
		t.Fatalf("%s.session is neither an attack nor a control", name)
	}
	return s
}

func (s *goldenSession) addTXT(value string) error {
	var words [2]string
	for i := range words {
		quoted, err := strconv.QuotedPrefix(value)
		if err != nil {
			return err
		}
		words[i], err = strconv.Unquote(quoted)
		if err != nil {
			return err
		}
		value = strings.TrimSpace(value[len(quoted):])
	}
	s.zone.AddTXT(words[0], words[1])
	return nil
}

// mailFrom reads the reverse-path as package milter does: what is no address is
// still of the domain behind the last "@".
func (s *goldenSession) mailFrom() mailaddr.Address {
	a, err := mailaddr.ParsePath(s.from)
	if err == nil {
		return a
	}
	path := strings.TrimSuffix(strings.TrimPrefix(s.from, "<"), ">")
	if at := strings.LastIndexByte(path, '@'); at > 0 {
		if domain, err := mailaddr.ParseDomain(path[at+1:]); err == nil {
			return mailaddr.Address{LocalPart: path[:at], Domain: domain}
		}
	}
	return mailaddr.Address{LocalPart: path}
}

// check runs the checks over the message as a server would.
func (s *goldenSession) check(t *testing.T, msg []byte) mailauth.Results {
	t.Helper()
	srv, err := dnstest.Start("127.0.0.1:0", s.zone)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	cfg := resolver.Default()
	cfg.Servers = []string{srv.Addr()}
	log := slog.New(slog.DiscardHandler)
	res, err := resolver.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mailauth.New(res, mailauth.Default(), log)
	if err != nil {
		t.Fatal(err)
	}
	return c.Check(t.Context(), mailauth.Input{
		ClientAddr: s.ip, Helo: s.helo, MailFrom: s.mailFrom(),
		Raw: rawmsg.Scan(msg, rawmsg.Default()), Body: func() io.Reader { return bytes.NewReader(msg) },
	})
}

// golden checks one message.
func golden(t *testing.T, name string, s goldenSession) {
	r := s.check(t, goldenFile(t, name+".in"))
	field, err := authres.Encode(goldenReceiver, r.ResInfo()...)
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	safe := true
	switch {
	case s.attacked == "":
		if r.DMARC.Result != authres.Pass {
			t.Errorf("a good message is %s: %s", r.DMARC.Result, r.DMARC.Reason)
		}
	case r.DMARC.Result == authres.Pass:
		t.Errorf("passes for %s", r.DMARC.Domain)
		safe = false
	case r.Policy() == dmarc.None:
		t.Errorf("is %s, and escapes the policy of %s", r.DMARC.Result, s.attacked)
		safe = false
	}
	oneAuthor(t, r, field)
	got := tell(r, field)
	path := filepath.Join(goldenDir, name+".want")
	if *update && safe {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("Check gives\n%s\nwant\n%s", got, want)
	}
}

// oneAuthor holds that field is ours alone: it reads back as what was written,
// and not even who looks for bare text in it finds a pass that is none.
func oneAuthor(t *testing.T, r mailauth.Results, field string) {
	t.Helper()
	back, err := authres.Parse([]byte(field))
	if err != nil {
		t.Fatalf("%s does not read back: %v", field, err)
	}
	if back.AuthservID != goldenReceiver || !reflect.DeepEqual(back.Results, r.ResInfo()) {
		t.Errorf("%s reads back as %+v", field, back)
	}
	passes := 0
	for _, i := range back.Results {
		if i.Result == authres.Pass {
			passes++
		}
	}
	if n := strings.Count(strings.ToLower(field), "=pass"); n != passes {
		t.Errorf("%q has %d times \"=pass\", but %d results are", field, n, passes)
	}
	for _, c := range []byte(field) {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			t.Errorf("%q has the octet %#x", field, c)
		}
	}
}

// tell writes what was found out.
func tell(r mailauth.Results, field string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "spf mailfrom %s %q%s\n", r.SPF.MailFrom.Result, r.SPF.MailFrom.Domain, why(r.SPF.MailFrom.Reason))
	fmt.Fprintf(&b, "spf helo %s %q%s\n", r.SPF.Helo.Result, r.SPF.Helo.Domain, why(r.SPF.Helo.Reason))
	for _, d := range r.DKIM {
		fmt.Fprintf(&b, "dkim %s %q %q%s\n", d.Result, d.Domain, d.Selector, why(d.Reason))
	}
	fmt.Fprintf(&b, "arc %s%s\n", r.ARC.Result, why(r.ARC.Reason))
	fmt.Fprintf(&b, "dmarc %s %q %s%s\n", r.DMARC.Result, r.DMARC.Domain, r.Policy(), why(r.DMARC.Reason))
	fmt.Fprintf(&b, "\nAuthentication-Results: %s\n", field)
	return b.String()
}

func why(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
