package dict

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

var dave = mailaddr.Address{LocalPart: "dave", Domain: "example.org"}

func TestParseKey(t *testing.T) {
	for _, tc := range []struct {
		key  string
		want query
		ok   bool
	}{
		{"shared/passdb/dave@example.org", query{space: passdb, user: dave}, true},
		{"shared/passdb/imap/Dave@Example.ORG", query{space: passdb, service: "imap", user: dave}, true},
		{"shared/userdb/dave@example.org", query{space: userdb, user: dave}, true},
		{"shared/passdb/dave", query{space: passdb}, false},
		{"shared/passdb/", query{space: passdb}, false},
		{"shared/passdb/imap/", query{space: passdb, service: "imap"}, false},
		{"priv/passdb/dave@example.org", query{}, false},
		{"shared/quota/dave@example.org", query{}, false},
		{"shared/passdb/dave@example.org\x00", query{space: passdb}, false},
		// Not a service: part of the name, which belongs to nobody's mailbox.
		{"shared/passdb/x/dave@example.org", query{space: passdb, user: mailaddr.Address{LocalPart: "x/dave", Domain: "example.org"}}, true},
	} {
		if got, ok := parseKey(tc.key); got != tc.want || ok != tc.ok {
			t.Errorf("parseKey(%q) = %+v, %v, want %+v, %v", tc.key, got, ok, tc.want, tc.ok)
		}
	}
}

const nobody = "{PLAIN}nobody knows"

// passFacts are those of a look-up of dave's password.
func passFacts(service string, edit func(*account.User)) facts {
	f := facts{
		query: query{space: passdb, service: service, user: dave}, asked: dave.String(), known: true,
		row:    account.User{ID: 1, Addr: dave, Password: secret.String("{PLAIN}davepw")},
		nobody: secret.String(nobody), mail: mailbox{root: "/var/vmail", uid: 5000, gid: 5000, location: "maildir:~/Maildir"},
	}
	if edit != nil {
		edit(&f.row)
	}
	return f
}

// object is an answer as Dovecot reads it.
func object(t *testing.T, a answer) string {
	t.Helper()
	b, err := appendAnswer(nil, a)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

func TestDecidePassdb(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	const right, wrong = `O{"password":"{PLAIN}davepw"`, `O{"password":"` + nobody + `"`
	disabled := func(u *account.User) { u.Disabled = true }
	imapOnly := func(u *account.User) { u.Services = []string{account.IMAP} }
	for _, tc := range []struct {
		name, service string
		edit          func(*account.User)
		want          string
	}{
		{"plain", "imap", nil, right + `}`},
		{"no service", "", nil, right + `}`},
		{"no password", "imap", func(u *account.User) { u.Password = secret.Value{} }, wrong + `}`},
		{"disabled, imap", "imap", disabled, right + `,"nologin":"","reason":"this account is disabled, please ask your postmaster"}`},
		{"disabled, smtp", "smtp", disabled, wrong + `}`},
		{"disabled, no service", "", disabled, wrong + `}`},
		{"disabled, lmtp", "lmtp", disabled, wrong + `}`},
		{"nologin, pop3", "pop3", func(u *account.User) { u.NoLogin = "moved to another server" }, right + `,"nologin":"","reason":"moved to another server"}`},
		{"nologin, submission", "submission", func(u *account.User) { u.NoLogin = "moved" }, wrong + `}`},
		{"expired, sieve", "sieve", func(u *account.User) { u.Expires = now }, right + `,"nologin":"","reason":"this account has expired, please ask your postmaster"}`},
		{"not yet expired", "sieve", func(u *account.User) { u.Expires = now.Add(time.Second) }, right + `}`},
		{"service allowed", "imap", imapOnly, right + `}`},
		{"service not allowed", "pop3", imapOnly, right + `,"nologin":"","reason":"this account may not use this service, please ask your postmaster"}`},
		{"service not told", "", imapOnly, wrong + `}`},
		{"submission by its other name", "smtp", func(u *account.User) { u.Services = []string{account.Submission} }, right + `}`},
		{"allow_nets", "imap", func(u *account.User) {
			u.AllowNets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
		}, right + `,"allow_nets":"10.0.0.0/8,2001:db8::/32"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := object(t, decide(passFacts(tc.service, tc.edit), now)); got != tc.want {
				t.Errorf("decide = %s\nwant %s", got, tc.want)
			}
		})
	}
	t.Run("held", func(t *testing.T) {
		f := passFacts("smtp", nil)
		f.held = true
		if got := object(t, decide(f, now)); got != wrong+`}` {
			t.Errorf("smtp: %s", got)
		}
		f.service = "imap"
		if got := object(t, decide(f, now)); got != right+`}` {
			t.Errorf("imap: %s", got)
		}
	})
	t.Run("app passwords only", func(t *testing.T) {
		for service, want := range map[string]string{"imap": wrong, "smtp": wrong, "": wrong, "doveadm": right} {
			f := passFacts(service, nil)
			f.appOnly = true
			if got := object(t, decide(f, now)); got != want+`}` {
				t.Errorf("%q: %s", service, got)
			}
			// Nobody learns by a reason that it was right.
			f.row.NoLogin = "moved"
			if got := object(t, decide(f, now)); want == wrong && got != want+`}` {
				t.Errorf("%q, nologin: %s", service, got)
			}
		}
	})
	// The text of a hash is never the password, whatever Dovecot's default is.
	t.Run("no scheme", func(t *testing.T) {
		f := passFacts("imap", func(u *account.User) { u.Password = secret.String("$1$abcdefgh$0123456789012345678901") })
		if got, want := object(t, decide(f, now)), `O{"password":"{MD5-CRYPT}$1$abcdefgh$0123456789012345678901"}`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		f.row.Password = secret.String("davepw")
		if a := decide(f, now); object(t, a) != wrong+`}` || a.rule != "scheme" || a.verdict != verdictRefused {
			t.Errorf("without a default: %+v", a)
		}
		f.scheme = password.Plain
		if got := object(t, decide(f, now)); got != right+`}` {
			t.Errorf("with a default: %s", got)
		}
	})
	t.Run("another case", func(t *testing.T) {
		f := passFacts("imap", nil)
		f.asked = "Dave@example.org"
		if got := object(t, decide(f, now)); got != right+`,"user":"dave@example.org"}` {
			t.Errorf("%s", got)
		}
	})
}

func TestDecideUserdb(t *testing.T) {
	f := passFacts("", nil)
	f.space = userdb
	const home = `O{"uid":5000,"gid":5000,"home":"/var/vmail/example.org/dave","mail":"maildir:~/Maildir"`
	if got := object(t, decide(f, time.Now())); got != home+`}` {
		t.Errorf("decide = %s", got)
	}
	f.row.Quota = 1 << 30
	if got := object(t, decide(f, time.Now())); got != home+`,"quota_rule":"*:bytes=1073741824"}` {
		t.Errorf("with a quota: %s", got)
	}
	for _, local := range []string{"..", ".", "", "a/b"} {
		f.row.Addr.LocalPart = local
		if got := decide(f, time.Now()); got.verdict != verdictUnknown {
			t.Errorf("local part %q: %+v, want unknown", local, got)
		}
	}
	if got := object(t, decide(facts{fault: true}, time.Now())); got[0] != replyFail {
		t.Errorf("fault: %s", got)
	}
}

// TestSecretsDoNotPrint: neither facts nor answers show a hash.
func TestSecretsDoNotPrint(t *testing.T) {
	a := decide(passFacts("imap", nil), time.Now())
	if s := slices.Collect(strings.Lines(sprint(a, passFacts("imap", nil)))); strings.Contains(strings.Join(s, ""), "davepw") {
		t.Errorf("printed: %s", s)
	}
}
