package policyd

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/geo"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// What is not known refuses nobody, whatever is enforced, but for a recipient
// about whom the store did not answer, who is asked to come back.
func TestUnknownRefusesNobody(t *testing.T) {
	c := Default()
	all(unit.Enforce)(&c)
	p, err := c.policy()
	if err != nil {
		t.Fatal(err)
	}
	req := stranger("x@mx.example", "alice@example.org", nil)
	for _, f := range []*AdmitFacts{nil, {}} {
		if v := Decide(p, req, Facts{Admit: f}, time.Now()); v.Action != Dunno() || len(v.Would) > 0 {
			t.Errorf("Decide(%+v) = %+v, want DUNNO", f, v)
		}
	}
	if v := Decide(p, req, Facts{Admit: &AdmitFacts{RecipientAway: true}}, time.Now()); v.Action.word != "451" {
		t.Errorf("Decide(recipient away) = %+v, want 451", v)
	}
}

// FuzzDecideAdmission: whatever a stranger typed, the answer can be sent, and
// mode observe answers as mode off.
func FuzzDecideAdmission(f *testing.F) {
	f.Add("x@mx.example", "alice@example.org", "mail.example.org", "spam.example", uint16(0))
	f.Add("a\tb\xff@example.org", strings.Repeat("ü", 300)+"@example.org", "[192.0.2.1]", "rdns:*", uint16(0xffff))
	f.Add("", "", "::1", "helo:x", uint16(0x1234))
	rules := []account.PostingRule{"", account.PostPublic, account.PostDomain, account.PostMembers, account.PostModerators, account.PostNobody}
	f.Fuzz(func(t *testing.T, from, rcpt, helo, name string, bits uint16) {
		req := stranger(from, rcpt, func(r *Request) { r.Client.Helo = helo })
		three := func(n uint16) outcome { return outcome((bits >> n & 3) % 3) }
		facts := AdmitFacts{
			SenderLocal: three(0), ClientName: three(2), SenderDomain: three(4), Recipient: three(6), RecipientAway: bits&256 != 0,
			Entry: access.Entry{Name: name, Deny: bits&512 != 0}, Posting: account.Posting{Rule: rules[int(bits>>10)%len(rules)]},
			Member: bits&1024 != 0, Full: make([]mailaddr.Address, bits>>13), trust: trust{host: bits&2048 != 0, sender: bits&4096 != 0},
		}
		verdict := func(mode unit.Mode) Verdict {
			c := Default()
			all(mode)(&c)
			p, err := c.policy()
			if err != nil {
				t.Fatal(err)
			}
			facts.trust.mode = mode
			v := Decide(p, req, Facts{Admit: &facts}, time.Now())
			b, err := AppendReply(nil, v.Action)
			if err != nil {
				t.Fatalf("AppendReply(%+v): %v", v.Action, err)
			}
			if _, err := ParseReply(b); err != nil {
				t.Errorf("ParseReply(%q): %v", b, err)
			}
			if again := Decide(p, req, Facts{Admit: &facts}, time.Now()); !reflect.DeepEqual(again, v) {
				t.Errorf("Decide() = %+v, then %+v", v, again)
			}
			admissionHint(&v, &req, "alice@example.org", &facts)
			return v
		}
		verdict(unit.Enforce)
		if a, b := verdict(unit.Observe), verdict(unit.Off); a.Action != b.Action || a.Rule != b.Rule {
			t.Errorf("observe answers %+v, off %+v", a, b)
		}
	})
}

func TestRightsHint(t *testing.T) {
	for _, tc := range []struct{ user, sender, want string }{
		{"alice@example.org", "x@example.org", "nobody here has x@example.org; to grant it: gatepost user grant alice@example.org --send-as x@example.org"},
		{"alice@example.org", "a b;rm -rf@example.org", "nobody here has a b;rm -rf@example.org; to grant it: gatepost user grant alice@example.org --send-as 'a b;rm -rf@example.org'"},
		{"o'neil@example.org", "x@example.org", `nobody here has x@example.org; to grant it: gatepost user grant 'o'\''neil@example.org' --send-as x@example.org`},
	} {
		if got := rightsHint(tc.user, tc.sender, nil); got != tc.want {
			t.Errorf("rightsHint(%q, %q) = %q, want %q", tc.user, tc.sender, got, tc.want)
		}
	}
	const own = "Bob@example.org is a mailbox of its own; to grant it: gatepost user grant alice@example.org --send-as Bob@example.org"
	if got := rightsHint("alice@example.org", "Bob@example.org", []mailaddr.Address{addr("bob@example.org")}); got != own {
		t.Errorf("rightsHint() = %q, want %q", got, own)
	}
}

func TestAdmissionConfig(t *testing.T) {
	prefix := func(s string) []netaddr.Prefix { return []netaddr.Prefix{{Prefix: netip.MustParsePrefix(s)}} }
	for _, tc := range []struct {
		key    string
		change func(*Config)
	}{
		{"reject_unauthenticated_local_sender", func(c *Config) { c.RejectUnauthenticatedLocalSender = "on" }},
		{"access_lists", func(c *Config) { c.AccessLists = "" }},
		{"checks.helo_ip", func(c *Config) { c.Checks.HeloIP = "yes" }},
		{"checks.over_quota", func(c *Config) { c.Checks.OverQuota = "452" }},
		{"checks.over_quota_code", func(c *Config) { c.Checks.OverQuotaCode = 550 }},
		{"checks.over_quota_code", func(c *Config) { c.Checks.OverQuotaCode = 0 }},
		{"checks.list_posting", func(c *Config) { c.Checks.ListPosting = "" }},
		{"trusted_hosts[0].networks", func(c *Config) { c.TrustedHosts = []TrustedHost{{Forwards: true}} }},
		{"trusted_hosts[0].networks", func(c *Config) { c.TrustedHosts = []TrustedHost{{Networks: prefix("0.0.0.0/0"), Forwards: true}} }},
		{"trusted_hosts[0].domains", func(c *Config) { c.TrustedHosts = []TrustedHost{{Networks: prefix("192.0.2.0/24")}} }},
		{"trusted_hosts[0].domains", func(c *Config) {
			c.TrustedHosts = []TrustedHost{{Networks: prefix("192.0.2.0/24"), Domains: []string{"Example.org"}}}
		}},
		{"trusted_hosts[0].mode", func(c *Config) {
			c.TrustedHosts = []TrustedHost{{Networks: prefix("192.0.2.0/24"), Forwards: true, Mode: "on"}}
		}},
		{"rules[0].when", func(c *Config) { c.Rules = []Rule{{Name: "a", Action: "HOLD", When: When{Expr: `sendr == "x"`}}} }},
		{"rules[0].when", func(c *Config) { c.Rules = []Rule{{Name: "a", Action: "HOLD", When: When{Expr: `sender`}}} }},
		{"rules[0].when", func(c *Config) {
			c.Rules = []Rule{{Name: "a", Action: "OK", PermitsRelay: true, When: When{Expr: `client_address == "192.0.2.1"`}}}
		}},
	} {
		c := Default()
		tc.change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), tc.key+": ") {
			t.Errorf("Validate() = %v, want a fault of %s", err, tc.key)
		}
	}
}

// noon is a Friday.
var noon = time.Date(2026, 11, 20, 12, 34, 0, 0, time.UTC)

// TestRuleFacts: what each name means to a rule, and that each is told here.
func TestRuleFacts(t *testing.T) {
	req := stranger("News@Shop.Example", "Alice+x@example.org", func(r *Request) {
		r.ProtocolName, r.Client.Port, r.Server.Port, r.Server.Addr = "ESMTP", 4321, 25, netip.MustParseAddr("192.0.2.1")
		r.RecipientCount, r.Size, r.QueueID, r.Stress, r.ETRNDomain = 3, 700, "4XyZ", true, "etrn.example"
		r.SASL = SASL{Method: "PLAIN", Username: "alice@example.org", Sender: "s@example.org"}
		r.TLS = TLS{"TLSv1.3", "AES", 256, "cn", "ca", "AA:BB", "CC:DD"}
		r.PolicyContext = "mx"
	})
	table, err := geo.Read(strings.NewReader("198.51.100.0/24,64500,DE\n"))
	if err != nil {
		t.Fatal(err)
	}
	facts := Facts{Known: true, User: "alice@example.org", MaySend: true, Admit: &AdmitFacts{SenderLocal: no, RecipientLocal: yes}}
	conditions := []string{
		`protocol_state == "RCPT" and protocol_name == "ESMTP"`,
		`client_address == "198.51.100.9" and ip_in(client_address, "198.51.100.0/24") and client_name endsWith ".mx.example"`,
		`client_port == 4321 and reverse_client_name == client_name and helo_name == "out.mx.example"`,
		`server_address == "192.0.2.1" and server_port == 25`,
		`sender == "News@Shop.Example" and sender_domain == "shop.example" and under(sender_domain, "example")`,
		`recipient == "Alice+x@example.org" and recipient_domain == "example.org"`,
		`not sender_local and recipient_local`,
		`recipient_count == 3 and size == 700 and queue_id == "4XyZ" and instance == "1.2.3" and stress and etrn_domain == "etrn.example"`,
		`sasl_method == "PLAIN" and sasl_username == "alice@example.org" and sasl_sender == "s@example.org"`,
		`ccert_subject == "cn" and ccert_issuer == "ca" and ccert_fingerprint == "AA:BB" and ccert_pubkey_fingerprint == "CC:DD"`,
		`encryption_protocol == "TLSv1.3" and encryption_cipher == "AES" and encryption_keysize == 256 and policy_context == "mx"`,
		`account.known and account.address == "alice@example.org" and account.domain == "example.org"`,
		`country == "DE" and asn == 64500`,
		`hour == 12 and minute == 34 and weekday == "friday" and time >= "12:30" and time < "13:00" and date == "2026-11-20"`,
		`in_map("partners", sender_domain) and not in_map("partners", recipient_domain)`,
	}
	for _, when := range conditions {
		c := Default()
		c.Rules = []Rule{{Name: "seen", Mode: unit.Enforce, When: When{Expr: when}, Action: "HOLD seen"}}
		p, err := c.policy()
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		if err := p.complete("", partners{}); err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		p.admission.geo = table
		if v := Decide(p, req, facts, noon); v.Rule != "rule seen" {
			t.Errorf("%s is not true: %+v", when, v)
		}
	}
	told := strings.Join(conditions, " ")
	for i := range reflect.TypeFor[ruleEnv]().NumField() {
		if name := reflect.TypeFor[ruleEnv]().Field(i).Tag.Get("expr"); name != "" && !strings.Contains(told, name) {
			t.Errorf("no test of %s", name)
		}
	}
}

type partners struct{}

func (partners) Names() []string { return []string{"partners"} }

func (partners) Has(_, value string) bool { return value == "shop.example" }

func TestExpressionRules(t *testing.T) {
	night := When{Expr: `hour < 6`}
	for _, tc := range []struct {
		name  string
		rules []Rule
		want  string
		would int
	}{
		{"true", []Rule{{Name: "a", When: When{Expr: "true"}, Action: "HOLD"}}, "HOLD", 0},
		{"false", []Rule{{Name: "a", When: night, Action: "HOLD"}}, "DUNNO", 0},
		{"off", []Rule{{Name: "a", Mode: unit.Off, When: When{Expr: "true"}, Action: "HOLD"}}, "DUNNO", 0},
		{"observed", []Rule{{Name: "a", Mode: unit.Observe, When: When{Expr: "true"}, Action: "HOLD"}}, "DUNNO", 1},
		{"the first that enforces", []Rule{
			{Name: "a", Mode: unit.Observe, When: When{Expr: "true"}, Action: "REJECT a"}, {Name: "b", When: night, Action: "REJECT b"},
			{Name: "c", When: When{Expr: "hour >= 6"}, Action: "REJECT c"}, {Name: "d", Action: "REJECT d"},
		}, "REJECT c", 1},
		{"another state", []Rule{{Name: "a", When: When{Expr: "true", ProtocolState: "DATA"}, Action: "HOLD"}}, "DUNNO", 0},
		{"with a network", []Rule{{Name: "a", When: When{Expr: "true", ClientNetworks: []netaddr.Prefix{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}, Action: "HOLD"}}, "DUNNO", 0},
		{"a rule that fails is no hit", []Rule{{Name: "a", When: When{Expr: `1 % recipient_count == 0`}, Action: "HOLD"}, {Name: "b", Action: "WARN"}}, "WARN", 0},
	} {
		p := policyOf(t, func(c *Config) { c.Rules = tc.rules })
		v := Decide(p, stranger("x@mx.example", "alice@example.org", nil), Facts{}, noon)
		if v.Action.String() != tc.want || len(v.Would) != tc.would {
			t.Errorf("%s: Decide() = %+v, want %s with %d that observe", tc.name, v, tc.want, tc.would)
		}
	}
}

func TestWhenScalar(t *testing.T) {
	var w When
	if err := w.UnmarshalScalar("hour < 6"); err != nil || w.Expr != "hour < 6" {
		t.Errorf("UnmarshalScalar() = %+v, %v", w, err)
	}
	c := Default()
	const file = "rules:\n- name: old\n  when:\n    client_networks: [192.0.2.0/24]\n  action: HOLD\n- name: new\n  when: {expr: 'hour < 6'}\n  action: HOLD\n"
	if err := config.Decode("t.yaml", []byte(file), &c); err != nil || c.Rules[1].When.Expr != "hour < 6" || len(c.Rules[0].When.ClientNetworks) != 1 {
		t.Errorf("Decode() = %v, %+v", err, c.Rules)
	}
}

// A map that is not there is told by the rule that names it.
func TestBind(t *testing.T) {
	p := policyOf(t, func(c *Config) {
		c.Rules = []Rule{{Name: "a", When: When{Expr: `in_map("partner", sender)`}, Action: "HOLD"}}
	})
	if err := p.complete("", partners{}); err == nil || !strings.Contains(err.Error(), `did you mean "partners"?`) {
		t.Errorf("complete() = %v, want a hint", err)
	}
	if err := p.complete("/nonexistent/geo.csv", nil); err == nil || !strings.Contains(err.Error(), "geo_file: ") {
		t.Errorf("complete() without its geo file = %v", err)
	}
}

func BenchmarkDecideRules(b *testing.B) {
	p := policyOf(b, func(c *Config) {
		for _, when := range []string{`hour < 6`, `sender_domain == "x.example"`, `country == "XX"`, `under(recipient_domain, "y.example") and size > 1000`} {
			c.Rules = append(c.Rules, Rule{Name: "r" + when, When: When{Expr: when}, Action: "HOLD"})
		}
	})
	req := stranger("x@mx.example", "alice@example.org", nil)
	var f Facts
	b.ReportAllocs()
	for b.Loop() {
		var v Verdict
		decide(&v, &p, &req, &f, noon)
	}
}
