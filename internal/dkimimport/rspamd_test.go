package dkimimport

import (
	"fmt"
	"strings"
	"testing"
)

// organization is a public suffix list of one rule: the last two labels.
func organization(d string) (string, bool) {
	labels := strings.Split(d, ".")
	if len(labels) < 2 {
		return "", false
	}
	return strings.Join(labels[len(labels)-2:], "."), true
}

const local = "/etc/rspamd/local.d/dkim_signing.conf"

func TestRspamd(t *testing.T) {
	for _, tc := range []struct {
		name, conf string
		more       files
		ours       string
		keys       string
		notes      string
	}{
		{
			name:  "path with domain and selector, for each domain that has a file",
			conf:  `path = "/var/lib/rspamd/dkim/$domain.$selector.key"; selector = "mail"; sign_local = false;`,
			more:  files{"/var/lib/rspamd/dkim/example.org.mail.key": "A", "/var/lib/rspamd/dkim/example.net.mail.key": "B", "/var/lib/rspamd/dkim/example.net.old.key": "C"},
			ours:  "example.org elsewhere.example",
			keys:  "example.net mail example.net.mail.key=B\nexample.org mail example.org.mail.key=A",
			notes: "",
		},
		{
			name: "maps: the one for selectors, the one for paths",
			conf: "path = \"/k/$domain.$selector\"\nselector_map = \"$LOCAL_CONFDIR/local.d/selectors.map\"\npath_map = '/etc/rspamd/paths.map'\nsign_local = no\n",
			more: files{
				"/etc/rspamd/local.d/selectors.map": "# domain selector\nexample.org s2026\nExample.NET other # new\n",
				"/etc/rspamd/paths.map":             "example.net /keys/$selector.pem\n",
				"/k/example.org.s2026":              "A", "/keys/other.pem": "B", "/k/example.com.dkim": "C",
			},
			keys: "example.com dkim example.com.dkim=C\nexample.net other other.pem=B\nexample.org s2026 example.org.s2026=A",
		},
		{
			name: "domain blocks, with several selectors, and no fallback",
			conf: `try_fallback = false; path = "/k/all"; sign_local = false
domain {
  example.org {
    selectors [
      { path: "/k/rsa.key", selector: "rsa" }, # one
      { selector = "ed"; path = "/k/ed.key"; }
    ]
  }
  "example.net" { selector = one; path = /k/$selector.key; }
}
domain example.com { path = "/k/missing.key"; selector = "x" }
`,
			more:  files{"/k/rsa.key": "R", "/k/ed.key": "E", "/k/one.key": "1", "/k/all": "all"},
			ours:  "third.example",
			keys:  "example.net one one.key=1\nexample.org rsa rsa.key=R\nexample.org ed ed.key=E",
			notes: "dkim_signing.conf:11: mail of example.com, signed as d=example.com s=x: its key cannot be read: file does not exist",
		},
		{
			name:  "a subdomain is signed by its organization",
			conf:  "path = /k/$domain.key\nsign_local = false",
			more:  files{"/k/example.org.key": "A"},
			ours:  "example.org mail.example.org",
			keys:  "example.org dkim example.org.key=A",
			notes: "dkim_signing.conf:1: mail of mail.example.org, signed as d=example.org s=dkim: Gatepost signs with the author's own domain only",
		},
		{
			name: "a subdomain with a key of its own",
			conf: "path = /k/$domain.key\nsign_local = false\nuse_esld = false",
			more: files{"/k/example.org.key": "A", "/k/mail.example.org.key": "B"},
			keys: "example.org dkim example.org.key=A\nmail.example.org dkim mail.example.org.key=B",
		},
		{
			name: "one key for all domains that are ours",
			conf: "path = /k/all.key\nsign_local = false",
			more: files{"/k/all.key": "A"},
			ours: "example.org example.net",
			keys: "example.net dkim all.key=A\nexample.org dkim all.key=A",
		},
		{
			name: "override.d counts more",
			conf: "path = /k/$domain.key\nselector = old\nsign_local = false",
			more: files{"/k/example.org.key": "A", "/etc/rspamd/override.d/dkim_signing.conf": "selector = new"},
			keys: "example.org new example.org.key=A",
		},
		{
			name: "keys that are not in files",
			conf: "use_redis = true\nsign_local = false\nkey_prefix = X\nselector_map = redis://x\nsign_networks = [10.0.0.0/8, host.example]\n.include \"x.conf\"\nmade_up = 1\nuse_domain = envelope\npath=/a\npath = /b",
			notes: `
dkim_signing.conf:1: use_redis = true: keys in Redis are not read
dkim_signing.conf:4: selector_map = redis://x: only maps in flat files are read
dkim_signing.conf:5: host.example: Gatepost trusts no name that a client's DNS says
dkim_signing.conf:6: .include x.conf: macros are not followed
dkim_signing.conf:7: made_up: this setting is not known
dkim_signing.conf:8: use_domain = envelope: Gatepost signs with the domain of the header From
dkim_signing.conf:10: path: it is set twice; the last one was taken`,
		},
		{name: "switched off", conf: "enabled = false; sign_local = false; path = /k/$domain", more: files{"/k/example.org": "A"}, ours: "example.org"},
		{
			name: "local mail", conf: "dkim_signing { path = /k/$domain }", more: files{"/k/example.org": "A"},
			keys:  "example.org dkim example.org=A",
			notes: "dkim_signing.conf:0: sign_local: rspamd means all private networks by it, Gatepost this host only",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := files{local: tc.conf}
			for f, s := range tc.more {
				m[f] = s
			}
			s, err := ReadRspamd(m, local, organization)
			if err != nil {
				t.Fatal(err)
			}
			p := s.Plan(strings.Fields(tc.ours))
			lines(t, "keys", carried(p), tc.keys)
			lines(t, "notes", noted(p), tc.notes)
		})
	}
}

// TestUCL: what is not understood is an error with its line, never a guess.
func TestUCL(t *testing.T) {
	for in, want := range map[string]string{
		"a = 1;\nb {\n c: [1, 2 ,\"x\\\"y\"]\n} d yes": `{a=1 b={c=[1 2 x"y]} d=yes}`,
		"/* x\ny */ a\t=\t'it''":                       "f:2: a text in quotes without an end",
		"a b { c = d }":                                "{a={b={c=d}}}",
		"a {":                                          "f:1: a { without a }",
		"a = [1":                                       "f:1: a [ without a ]",
		"\n\n}":                                        "f:3: a } without a {",
		"a =\nb = 1":                                   "f:2: the setting a has no value",
		"a = <<EOD\nx\nEOD":                            "f:1: a here-document is not read",
		"a = \"x":                                      "f:1: a text in quotes without an end",
		"/* x":                                         "f:1: a comment without an end",
		strings.Repeat("a {", 20):                      "f:1: objects are nested too deep",
		"a = " + strings.Repeat("[", 20):               "f:1: lists are nested too deep",
		strings.Repeat("a=1\n", maxUCLNodes):           fmt.Sprintf("f:%d: the file is too large", maxUCLNodes),
	} {
		n, err := parseUCL("f", []byte(in))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = show(n)
		}
		if got != want {
			t.Errorf("%.40q is %s, want %s", in, got, want)
		}
	}
}

func show(n *node) string {
	var out []string
	for _, f := range n.fields {
		out = append(out, f.name+"="+show(f.value))
	}
	for _, e := range n.list {
		out = append(out, show(e))
	}
	switch n.kind {
	case objectNode:
		return "{" + strings.Join(out, " ") + "}"
	case listNode:
		return "[" + strings.Join(out, " ") + "]"
	}
	return n.text
}

func FuzzRspamd(f *testing.F) {
	f.Add("path = \"/k/$domain.$selector\"; domain { example.org { selectors [ { path = x; selector = y } ] } }", "example.org s\n")
	f.Add("selector_map = /map\npath_map = [\"a.example b\"]\nsign_networks = /map", "example.org s\n10.0.0.0/8")
	f.Fuzz(func(t *testing.T, conf, table string) {
		s, err := ReadRspamd(files{local: conf, "/map": table, "/k/example.org.s": "key"}, local, organization)
		if err == nil {
			s.Plan([]string{"example.org", "sub.example.net"})
		}
	})
}
