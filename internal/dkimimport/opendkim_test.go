package dkimimport

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/keys"
)

const conf1 = "/etc/opendkim.conf"

func TestOpenDKIM(t *testing.T) {
	for _, tc := range []struct {
		name, conf string
		more       files
		ours       string
		keys       string
		notes      string
		hosts      string // "local 10.0.0.0/8"
	}{
		{
			name: "one domain", conf: "Domain example.org\nSelector mail\nKeyFile /k/mail.private\nSyslog yes # a comment\nSignatureTTL 0x15180\n",
			more: files{"/k/mail.private": "A"}, keys: "example.org mail mail.private=A", hosts: "local 24h0m0s",
		},
		{
			name: "several domains, and what is below them",
			conf: "Domain example.org, example.net\nSelector mail\nKeyFile /k/a\nSubDomains yes", more: files{"/k/a": "A"}, ours: "mail.example.org",
			keys: "example.net mail a=A\nexample.org mail a=A", hosts: "local",
			notes: "opendkim.conf:4: SubDomains yes: Gatepost signs with the author's own domain only\n" +
				"opendkim.conf:3: mail of mail.example.org, signed as d=example.org s=mail: Gatepost signs with the author's own domain only",
		},
		{
			name: "tables", conf: "KeyTable /k/KeyTable\nSigningTable refile:/k/SigningTable\nInternalHosts /k/TrustedHosts\nExternalIgnoreList /k/TrustedHosts\nInclude /k/more.conf\nInclude /k/none",
			more: files{
				"/k/KeyTable":     "# keys\na example.org:2026:/k/a\nb  example.net:x:/k/b\nleft example.com:x:/k/c\nbad example.com\n",
				"/k/SigningTable": "*@example.org a\n*@example.net\tb:boss@example.net\nboss@example.org b\n*@lost.example gone\n*@*.example.org a\n",
				"/k/a":            "A", "/k/b": "B",
				"/k/TrustedHosts": "127.0.0.1\n::1\nlocalhost\n10.0.0.0/8\n[192.0.2.1]\n2001:db8::/32\n!10.1.0.0/16\n.example.org\n0.0.0.0/0\n",
				"/k/more.conf":    "signheaders From,To\nOversignHeaders From\nCanonicalization relaxed/simple\nLogWhy yes",
			},
			ours: "sub.example.org",
			keys: "example.net x b=B\nexample.org 2026 a=A", hosts: "local 10.0.0.0/8 192.0.2.1/32 2001:db8::/32",
			notes: `
opendkim.conf:4: ExternalIgnoreList /k/TrustedHosts: it only keeps OpenDKIM from logging; Gatepost's journal has the one reason for each unsigned message (gatepost dkim why)
opendkim.conf:6: Include /k/none: the file cannot be read
more.conf:1: signheaders From,To: ` + fixedFields + `
more.conf:3: Canonicalization relaxed/simple: ` + fixedFields + `
KeyTable:5: bad: the line is not NAME DOMAIN:SELECTOR:KEY
SigningTable:5: *@*.example.org a: it stands for any number of domains: taken over for those that Gatepost or these files name
KeyTable:4: left: no line of the SigningTable uses this key
KeyTable:5: bad: no line of the SigningTable uses this key
TrustedHosts:7: !10.1.0.0/16: a network cannot be taken out of another
TrustedHosts:8: .example.org: Gatepost trusts no name that a client's DNS says
TrustedHosts:9: 0.0.0.0/0: every host of the internet could send as your domains
SigningTable:4: mail of lost.example: the KeyTable has no key gone: OpenDKIM defers this mail
KeyTable:2: mail of sub.example.org, signed as d=example.org s=2026: Gatepost signs with the author's own domain only`,
		},
		{
			name: "templates", conf: "KeyTable file:/k/KeyTable\nSigningTable file:/k/SigningTable",
			more: files{
				"/k/KeyTable": "any %:mail:/k/%/mail.private\n", "/k/SigningTable": "* any\n",
				"/k/example.org/mail.private": "A", "/k/example.net/mail.private": "B", "/k/notes/x": "",
			},
			ours: "third.example", hosts: "local",
			keys: "example.net mail mail.private=B\nexample.org mail mail.private=A",
			notes: `
SigningTable:1: * any: it stands for any number of domains: taken over for those that Gatepost or these files name
KeyTable:1: mail of third.example, signed as d=third.example s=mail: its key cannot be read: /k/third.example/mail.private: no such file`,
		},
		{
			name: "a database", conf: "KeyTable dsn:mysql://user:planted@3306+host/db/table=x\nSigningTable /k/S\nMode v", more: files{"/k/S": "example.org a"},
			hosts: "local",
			notes: `
opendkim.conf:3: Mode v: this OpenDKIM only verifies; it signs nothing
opendkim.conf:1: KeyTable dsn:...: tables of this kind are not read`,
			ours: "example.org",
		},
		{
			name: "keys in the table", conf: "KeyTable csl:k=example.org:s:TUlJ\nSigningTable csl:example.org=k", hosts: "local",
			keys: "example.org s .=-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := files{conf1: tc.conf}
			for f, s := range tc.more {
				m[f] = s
			}
			s, err := ReadOpenDKIM(m, conf1)
			if err != nil {
				t.Fatal(err)
			}
			p := s.Plan(strings.Fields(tc.ours))
			lines(t, "keys", strings.TrimSpace(carried(p)), tc.keys)
			lines(t, "notes", noted(p), tc.notes)
			var hosts []string
			if p.Local {
				hosts = append(hosts, "local")
			}
			for _, n := range p.Networks {
				hosts = append(hosts, n.String())
			}
			if p.Expire > 0 {
				hosts = append(hosts, p.Expire.String())
			}
			lines(t, "hosts", strings.Join(hosts, " "), tc.hosts)
			if strings.Contains(noted(p), "planted") {
				t.Error("a password is in the report")
			}
		})
	}
}

func FuzzOpenDKIM(f *testing.F) {
	f.Add("KeyTable /t\nSigningTable refile:/s\nInternalHosts /h", "a %:x:/k/%\nb example.org:y:AAAA", "*@example.org a\n%@x b", "10.0.0.0/8\n!x")
	f.Add("Domain a.example\nSelector x\nKeyFile /t\nInclude /s", "", "Include /s", "")
	f.Fuzz(func(t *testing.T, conf, table, signing, hosts string) {
		s, err := ReadOpenDKIM(files{conf1: conf, "/t": table, "/s": signing, "/h": hosts}, conf1)
		if err == nil {
			s.Plan([]string{"example.org", "sub.example.net"})
		}
	})
}

// authors are those of the 20 messages.
var authors = []string{
	"alice@example.org", "Alice@EXAMPLE.ORG", "boss@example.org", "news-7@example.org", "a@sub.example.org", "b@deep.sub.example.org",
	"alice@example.net", "bob@example.net", "x@mail.example.net", "alice@example.com", "root@example.com", "a@third.example",
	"a@nokey.example", "a@stranger.example", "a@one.example", "a@two.example", "a@percent.example", "a@other-d.example",
	"a@xn--mller-kva.example", "postmaster@ExAmPlE.nEt",
}

// TestSideBySide: for 20 authors, OpenDKIM itself and what Gatepost signs after
// the import name the same domain and selector, or the plan says why not.
func TestSideBySide(t *testing.T) {
	if _, err := exec.LookPath("opendkim"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("opendkim is not installed")
		}
		t.Skip("opendkim is not installed")
	}
	const keyTable = `k1 example.org:mail:DIR/keys/a.private
k2 example.net:2026:DIR/keys/b.private
k3 %:all:DIR/keys/c.private
k4 example.com:com:DIR/keys/a.private
k5 else.example:x:DIR/keys/a.private
k6 two.example:first:DIR/keys/a.private
k7 two.example:second:DIR/keys/b.private
percent.example %:pct:DIR/keys/%/x.private
`
	for _, tc := range []struct {
		name, conf, signing string
		alike               int // at least so many of the 20
	}{
		{"refile", "KeyTable DIR/KeyTable\nSigningTable refile:DIR/SigningTable\n", `*@example.org k1
boss@example.org k5
*@example.net k2
*@*.example.net k2
root@example.com k5
*@example.com k4
*@third.example k3
*@nokey.example gone
*@one.example k3
*@percent.example %
*@other-d.example k5
*@xn--mller-kva.example k3
`, 14},
		{"plain", "KeyTable file:DIR/KeyTable\nSigningTable file:DIR/SigningTable\n", `example.org k1
boss@example.org k5
.example.org k3
bob@example.net k5
example.net k2
root@* k5
EXAMPLE.com k4
third.example k3
percent.example %
other-d.example k5
two.example k6
* k3
`, 14},
		{"several signatures", "KeyTable DIR/KeyTable\nSigningTable refile:DIR/SigningTable\nMultipleSignatures yes\n", `*@two.example k6
*@two.example k7
*@example.org k1
*@*example.org k3
`, 16},
		{"one key", "Domain example.org,example.net\nSelector solo\nKeyFile DIR/keys/a.private\nSubDomains yes\n", "", 16},
		{"one key for all", "KeyTable DIR/KeyTable\nSigningTable refile:DIR/SigningTable\n", "* k3\n", 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			put := func(name, text string) string {
				t.Helper()
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			write := func(name, text string) string {
				t.Helper()
				return put(name, strings.ReplaceAll(text, "DIR", dir))
			}
			for _, name := range []string{"a.private", "b.private", "c.private", "percent.example/x.private"} {
				put("keys/"+name, newKey(t))
			}
			write("KeyTable", keyTable)
			write("SigningTable", tc.signing)
			// What stands behind is of how it runs, not of what it signs.
			conf := write("opendkim.conf", tc.conf+"Mode s\nUserID root\nRequireSafeKeys no\n")

			src, err := ReadOpenDKIM(disk{}, conf)
			if err != nil {
				t.Fatal(err)
			}
			var ours []string
			for _, a := range authors {
				_, d, _ := strings.Cut(strings.ToLower(a), "@")
				ours = append(ours, d)
			}
			plan := src.Plan(ours)
			store := imported(t, filepath.Join(dir, "dkim"), plan)
			compareAll(t, conf, plan, store, tc.alike)
		})
	}
}

// newKey returns the text of an RSA key.
func newKey(t *testing.T) string {
	t.Helper()
	s, err := keys.Open(filepath.Join(t.TempDir(), "dkim"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.Create("example.org", "", keys.RSA)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// imported takes the keys of a plan into a store of Gatepost's.
func imported(t *testing.T, dir string, p Plan) *keys.Store {
	t.Helper()
	s, err := keys.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range p.Keys {
		if _, err := s.Import(k.Domain, k.Selector, k.Text); err != nil {
			t.Fatalf("%s s=%s of %s: %v", k.Domain, k.Selector, k.Path, err)
		}
	}
	return s
}

func compareAll(t *testing.T, conf string, plan Plan, store *keys.Store, alike int) {
	t.Helper()
	notes := noted(plan)
	n := 0
	for _, a := range authors {
		original := original(t, conf, a)
		_, domain, _ := strings.Cut(a, "@")
		var got []string
		for _, k := range store.Active(domain) {
			got = append(got, "d="+k.Domain+" s="+k.Selector)
		}
		slices.Sort(got)
		if strings.Join(got, ", ") == original {
			n++
			continue
		}
		if !explained(plan, a, strings.ToLower(domain)) {
			t.Errorf("%s: OpenDKIM signs %q, Gatepost %q, and the report does not say why:\n%s", a, original, got, notes)
		}
	}
	t.Logf("%d of %d authors alike", n, len(authors))
	if n < alike {
		t.Errorf("only %d of %d authors are signed alike, want %d\n%s", n, len(authors), alike, notes)
	}
}

// explained reports whether a note is about mail of an author or his domain.
func explained(plan Plan, author, domain string) bool {
	return slices.ContainsFunc(plan.Notes, func(n Note) bool {
		pattern, _, _ := strings.Cut(n.What, " ")
		return strings.HasPrefix(n.What, "mail of "+domain+",") || n.What == "mail of "+domain ||
			strings.Contains(n.Why, "for some authors of "+domain+" only") && (glob(pattern, author) || strings.HasSuffix(pattern, "@*"))
	})
}

var tag = regexp.MustCompile(`[;\s]([ds])=([^;]*);`)

// original asks OpenDKIM in its test mode, in which every message comes from
// 127.0.0.1: "d=... s=..., ...", sorted; "" for no signature.
func original(t *testing.T, conf, author string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "message")
	text := fmt.Sprintf("From: %s\r\nTo: bob@elsewhere.example\r\nSubject: hello\r\nDate: Fri, 20 Nov 2026 06:52:00 +0000\r\n\r\nhello\r\n", author)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("opendkim", "-x", conf, "-b", "s", "-v", "-v", "-t", path).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "mlfi_eoh() returned SMFIS_") {
		t.Fatalf("opendkim: %v\n%s", err, out)
	}
	var all []string
	for _, sig := range strings.Split(string(out), "hname='DKIM-Signature'")[1:] {
		found := map[string]string{}
		for _, m := range tag.FindAllStringSubmatch(sig, -1) {
			found[m[1]] = m[2]
		}
		all = append(all, "d="+found["d"]+" s="+found["s"])
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
