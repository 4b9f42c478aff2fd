package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/policyd"
)

// TestRightsCommands: grants, entries and posting rules, as an administrator
// types them, and what the policy server makes of them.
func TestRightsCommands(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	for _, u := range []string{"alice@example.org", "bob@example.org"} {
		if a := m.runWith(t, "a long password\n", "user", "add", u); a.code != 0 {
			t.Fatal(a.talk)
		}
	}
	m.must(t, "alias", "add", "sales@example.org", "bob@example.org")
	const request = "protocol_state=RCPT\nsasl_username=alice@example.org\nsender=sales@example.org\nrecipient=x@example.net\n"
	try := func() policyd.Trial {
		t.Helper()
		var all []policyd.Trial
		a := m.runWith(t, request, "policy", "test", "--json")
		if err := json.Unmarshal([]byte(a.out), &all); err != nil || len(all) != 1 {
			t.Fatalf("policy test --json: %v: %s%s", err, a.out, a.talk)
		}
		return all[0]
	}
	before := try()
	if before.Rule != "reject_sender_login_mismatch" || !strings.HasSuffix(before.Hint, "gatepost user grant alice@example.org --send-as sales@example.org") {
		t.Errorf("before the grant: %+v", before)
	}
	m.must(t, "user", "grant", "alice@example.org", "--send-as", "sales@example.org", "--send-as", "@example.net")
	if after := try(); after.Action != "DUNNO" {
		t.Errorf("after the grant: %+v", after)
	}
	if out := m.must(t, "user", "show", "alice@example.org"); !strings.Contains(out, "granted  @example.net, sales@example.org") {
		t.Errorf("user show:\n%s", out)
	}
	m.must(t, "user", "revoke", "alice@example.org", "--send-as", "sales@example.org")
	if again := try(); again.Rule != before.Rule {
		t.Errorf("after revoke: %+v", again)
	}

	m.must(t, "deny", "add", "Shop.example", "--for", "alice@example.org", "--until", "7d", "--reason", "asked twice")
	if out := m.must(t, "deny", "list"); !strings.Contains(out, "shop.example") || !strings.Contains(out, "asked twice") {
		t.Errorf("deny list:\n%s", out)
	}
	if out := m.must(t, "allow", "list", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("allow list --json: %s", out)
	}
	const denied = "protocol_state=RCPT\nsender=x@shop.example\nrecipient=alice@example.org\nclient_address=192.0.2.7\n"
	if a := m.runWith(t, denied, "policy", "test"); !strings.Contains(a.out, "deny shop.example for alice@example.org") || !strings.Contains(a.out, "asked twice") {
		t.Errorf("policy test:\n%s%s", a.out, a.talk)
	}
	m.must(t, "deny", "remove", "shop.example", "--for", "alice@example.org")
	m.must(t, "alias", "block", "bob+shop@example.org")
	const blocked = "protocol_state=RCPT\nsender=x@shop.example\nrecipient=bob+shop@example.org\nclient_address=192.0.2.7\n"
	if a := m.runWith(t, blocked, "policy", "test"); !strings.Contains(a.out, "550 5.1.1 bob+shop@example.org takes no mail any more") {
		t.Errorf("policy test of a blocked tag:\n%s%s", a.out, a.talk)
	}
	m.must(t, "alias", "post", "sales@example.org", "members", "--moderator", "boss@example.org")
	if out := m.must(t, "alias", "posting"); !strings.Contains(out, "bob+shop@example.org") || !strings.Contains(out, "boss@example.org") {
		t.Errorf("alias posting:\n%s", out)
	}
	m.must(t, "alias", "unblock", "bob+shop@example.org")

	for args, talk := range map[string]string{
		"user grant alice@example.org":                "error: --send-as is missing\nhint: gatepost user grant alice@example.org",
		"user grant alice@example.org --send-as a..b": "is not an address such as sales@example.org",
		"deny add a_b":                          "use user@example.com",
		"deny add x.example --until soon":       "neither a span such as 7d nor a day",
		"deny add x.example --until 2020-01-01": "2020-01-01 is over",
		"alias post sales@example.org friends":  "is not public, domain, members or moderators",
		"policy replay --since never":           "--since: ",
		"policy test":                           "no request on stdin",
	} {
		if a := m.run(t, strings.Fields(args)...); a.code != 2 || !strings.Contains(strings.ReplaceAll(a.talk, "gatepost: ", ""), talk) {
			t.Errorf("%s: exit %d, %s", args, a.code, a.talk)
		}
	}
	if a := m.run(t, "deny", "remove", "nobody.example"); a.code != 1 || !strings.Contains(a.talk, "gatepost deny list") {
		t.Errorf("deny remove of nothing: exit %d, %s", a.code, a.talk)
	}
}
