package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
)

func TestDecideAllow(t *testing.T) {
	until := time.Date(2026, 11, 20, 12, 34, 0, 0, time.UTC)
	for _, tc := range []struct {
		name    string
		d       guard.Decision
		verdict string
		want    reply
	}{
		{"go on", guard.Decision{}, verdictOK, reply{}},
		{"observed", guard.Decision{Observed: true, Ban: guard.Ban{ID: "b1"}}, verdictOK, reply{}},
		{"refused", guard.Decision{Refuse: true, Ban: guard.Ban{ID: "b1", Until: until}}, verdictRefused,
			reply{Status: -1, Msg: "logins from your network are refused until 2026-11-20 12:34 UTC (ban b1)"}},
		{"refused without a ban", guard.Decision{Refuse: true}, verdictRefused, reply{Status: -1, Msg: "logins are refused at present, please try again later"}},
		{"tarpit", guard.Decision{Delay: 1500 * time.Millisecond}, verdictDelay, reply{Status: 2}},
		{"a long tarpit", guard.Decision{Delay: time.Minute}, verdictDelay, reply{Status: 5}},
	} {
		if verdict, got := decideAllow(tc.d); verdict != tc.verdict || got != tc.want {
			t.Errorf("%s: decideAllow(%+v) = %s, %+v, want %s, %+v", tc.name, tc.d, verdict, got, tc.verdict, tc.want)
		}
	}
}

func TestDecideReport(t *testing.T) {
	for _, tc := range []struct {
		r       request
		verdict string
		outcome guard.Outcome
		counts  bool
	}{
		{request{success: true}, verdictOK, guard.Right, true},
		{request{}, verdictFail, guard.Wrong, true},
		{request{failType: "credentials"}, verdictFail, guard.Wrong, true},
		{request{failType: "account"}, verdictFail, guard.NoAccount, true},
		{request{failType: "internal"}, verdictTemp, guard.Abandoned, false},
		{request{failType: "expired"}, verdictRefused, guard.Abandoned, false},
		{request{failType: "disabled"}, verdictRefused, guard.Abandoned, false},
		{request{failType: "policy"}, verdictRefused, guard.Abandoned, false},
		{request{rejected: true}, verdictRefused, guard.Abandoned, false},
		{request{failType: "news"}, verdictFail, guard.Wrong, true},
	} {
		verdict, _, outcome, counts := decideReport(tc.r)
		if verdict != tc.verdict || outcome != tc.outcome || counts != tc.counts {
			t.Errorf("decideReport(%+v) = %s, %d, %v, want %s, %d, %v", tc.r, verdict, outcome, counts, tc.verdict, tc.outcome, tc.counts)
		}
	}
}

func TestUserName(t *testing.T) {
	for _, tc := range []struct{ login, realm, want string }{
		{"Alice@Example.ORG", "", "alice@example.org"},
		{"alice", "", ""},
		{"alice", "example.org", "alice@example.org"},
		{"", "example.org", ""},
		{"hunter2 is my password", "example.org", ""},
		{"al\ufffdice@example.org", "", "al\ufffdice@example.org"},
		{"a\x00b@example.org", "", ""},
		{"a\tb@example.org", "", ""},
		{"@example.org", "", ""},
	} {
		if got := userName(tc.login, tc.realm); got != tc.want {
			t.Errorf("userName(%q, %q) = %q, want %q", tc.login, tc.realm, got, tc.want)
		}
	}
}

func TestHostAllowed(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:4001": true, "127.0.0.1": true, "[::1]:4001": true, "::1": true, "localhost:4001": true, "LOCALHOST": true,
		"policy.example.org:4001": true, "Policy.Example.Org": true,
		"evil.example": false, "evil.example:4001": false, "": false, "127.0.0.1.evil.example": false, "localhost.evil.example:4001": false,
		"[::1": false, "a:b:c": false, ":4001": false,
	} {
		if got := hostAllowed(host, []string{"policy.example.org"}); got != want {
			t.Errorf("hostAllowed(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	on := func(edit func(*Config)) Config {
		c := Default()
		c.Listen, c.APIKeyFile = "127.0.0.1:4001", "/etc/gatepost/auth_policy.key"
		if edit != nil {
			edit(&c)
		}
		return c
	}
	for _, c := range []Config{Default(), on(nil), on(func(c *Config) { c.Listen, c.DefaultRealm = "[::1]:4001", "example.org" })} {
		if err := c.Validate(); err != nil {
			t.Errorf("Validate(%+v) = %v", c, err)
		}
	}
	for key, c := range map[string]Config{
		"listen":          on(func(c *Config) { c.Listen = "4001" }),
		"listen ":         on(func(c *Config) { c.Listen = "localhost:4001" }),
		"api_key_file":    on(func(c *Config) { c.APIKeyFile = "" }),
		"default_realm":   on(func(c *Config) { c.DefaultRealm = "a b" }),
		"hosts[0]":        on(func(c *Config) { c.Hosts = []string{"http://x"} }),
		"max_connections": on(func(c *Config) { c.MaxConnections = 0 }),
		"grace":           on(func(c *Config) { c.Grace = -1 }),
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(key)) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
