package authd

import (
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
)

func TestDecide(t *testing.T) {
	until := time.Date(2026, 5, 4, 14, 5, 0, 0, time.UTC)
	ban := "\treason=logins from your network are refused until 2026-05-04 14:05 UTC (ban abc)"
	for _, tc := range []struct {
		name    string
		f       facts
		verdict string
		reply   string // empty: the connection is closed
		delay   bool
	}{
		{"right", facts{kind: Client, service: "smtp", user: "a@b.example", match: true}, "ok", "OK\t1\tuser=a@b.example", false},
		{"right for IMAP", facts{kind: Login, service: "imap", user: "a@b.example", match: true}, "ok", "OK\t1\tuser=a@b.example", false},
		{"wrong or unknown", facts{kind: Client, service: "smtp", user: "a@b.example"}, "fail", "FAIL\t1\tuser=a@b.example", true},
		{"no address", facts{kind: Client, service: "smtp"}, "fail", "FAIL\t1", true},
		{"wrong, and disabled", facts{kind: Login, service: "imap", user: "a@b.example", account: accountRules{disabled: true, held: true}}, "fail", "FAIL\t1\tuser=a@b.example", true},
		{"somebody else's account", facts{kind: Login, service: "imap", user: "a@b.example", match: true, unfit: "proxied"}, "fail", "FAIL\t1\tuser=a@b.example", true},
		{"fault, Postfix", facts{kind: Client, service: "smtp", user: "a@b.example", fault: true, match: true}, "temp", "", false},
		{"fault, Dovecot", facts{kind: Login, service: "imap", user: "a@b.example", fault: true}, "temp", "FAIL\t1\tuser=a@b.example\ttemp\tcode=temp_fail", false},
		{"fault, no name", facts{kind: Login, service: "imap", fault: true}, "temp", "FAIL\t1\ttemp\tcode=temp_fail", false},
		{"banned", facts{kind: Client, service: "smtp", user: "a@b.example", banned: true, until: until, ban: "abc"}, "refused", "FAIL\t1\tuser=a@b.example" + ban, true},
		{"banned, right password", facts{kind: Login, service: "imap", user: "a@b.example", banned: true, until: until, ban: "abc", match: true}, "refused", "FAIL\t1\tuser=a@b.example" + ban, true},
		{"disabled, Postfix", facts{kind: Client, service: "smtp", user: "a@b.example", match: true, account: accountRules{disabled: true}}, "refused", "FAIL\t1\tuser=a@b.example\tcode=user_disabled\tuser_disabled\treason=" + textDisabled, true},
		{"disabled, another service name", facts{kind: Client, service: "submission", user: "a@b.example", match: true, account: accountRules{disabled: true}}, "refused", "FAIL\t1\tuser=a@b.example\tcode=user_disabled\tuser_disabled\treason=" + textDisabled, true},
		{"disabled, smtp on the login socket", facts{kind: Login, service: "smtp", user: "a@b.example", match: true, account: accountRules{disabled: true}}, "refused", "FAIL\t1\tuser=a@b.example\tcode=user_disabled\tuser_disabled\treason=" + textDisabled, true},
		{"disabled, Dovecot", facts{kind: Login, service: "imap", user: "a@b.example", match: true, account: accountRules{disabled: true}}, "refused", "OK\t1\tuser=a@b.example\tnologin\treason=" + textDisabled, false},
		{"held, Postfix", facts{kind: Client, service: "smtp", user: "a@b.example", match: true, account: accountRules{held: true}}, "refused", "FAIL\t1\tuser=a@b.example\treason=" + textHeld, true},
		{"held, Dovecot's submission", facts{kind: Login, service: "submission", user: "a@b.example", match: true, account: accountRules{held: true}}, "refused", "FAIL\t1\tuser=a@b.example\treason=" + textHeld, true},
		{"held, scripts", facts{kind: Client, service: "sieve", user: "a@b.example", match: true, account: accountRules{held: true}}, "ok", "OK\t1\tuser=a@b.example", false},
		{"held, reading", facts{kind: Login, service: "imap", user: "a@b.example", match: true, account: accountRules{held: true}}, "ok", "OK\t1\tuser=a@b.example", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := decide(tc.f)
			if o.verdict != tc.verdict || o.delay != tc.delay || o.close != (tc.reply == "") {
				t.Errorf("decide(%+v) = %+v", tc.f, o)
			}
			if o.close {
				return
			}
			r := clientReply{verb: verbFail, id: 1, params: o.params}
			if o.ok {
				r.verb = verbOK
			}
			got, err := r.appendTo(nil, tc.f.kind.escaping())
			if err != nil || strings.TrimSuffix(string(got), "\n") != tc.reply {
				t.Errorf("decide(%+v) says %q, %v, want %q", tc.f, got, err, tc.reply)
			}
			if tc.f.kind == Client && strings.Contains(string(got), "nologin") {
				t.Error("Postfix takes OK with nologin for success")
			}
		})
	}
}

func TestAccountName(t *testing.T) {
	for in, want := range map[string]string{
		"Alice@Example.ORG": "alice@example.org", "alice@example.org.": "alice@example.org",
		"alice": "", "": "", "@example.org": "", "a\tb@example.org": "", "a\x01@example.org": "", "a\n@example.org": "",
		"\xff@example.org": "", strings.Repeat("a", 300) + "@example.org": "", "дмитрий@почта.рф": "дмитрий@почта.рф",
	} {
		a, ok := accountName(in)
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("accountName(%q) = %v, %v, want %q", in, a, ok, want)
		}
	}
}

func TestMailboxFields(t *testing.T) {
	m := mailbox{root: "/var/vmail", uid: 5000, gid: 5001, location: "maildir:~/Maildir"}
	for in, home := range map[string]string{
		"alice@example.org":   "/var/vmail/example.org/alice",
		"a b@example.org":     "/var/vmail/example.org/a b",
		"../x@example.org":    "",
		"..@example.org":      "",
		".@example.org":       "",
		".a@example.org":      "",
		"a/b@example.org":     "",
		"x@[192.0.2.1/../..]": "",
	} {
		a, ok := accountName(in)
		if !ok {
			t.Fatalf("accountName(%q)", in)
		}
		params, ok := m.fields(account.User{Addr: a})
		if ok != (home != "") {
			t.Errorf("fields(%q) = %v, %v, want %q", in, params, ok, home)
		}
		if ok && params[2] != (param{key: "home", value: home}) {
			t.Errorf("fields(%q) = %v, want %q", in, params, home)
		}
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("Validate(Default()) = %v", err)
	}
	bad := Config{FailureDelay: -1, CacheTime: -1, MailLocation: "a\nb", MasterUIDs: []int{0, -1}, Grace: -1, MailRoot: "vmail"}
	err := bad.Validate()
	for _, key := range []string{"max_connections", "failure_delay", "cache_time", "hash_memory", "mail_location", "master_uids[1]", "grace", "mail_root", "mail_uid"} {
		if err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("Validate() does not name %s: %v", key, err)
		}
	}
}
