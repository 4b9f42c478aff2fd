package policyd

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// policyOf returns the policy of a configuration that change made of the
// default.
func policyOf(t testing.TB, change func(*Config)) Policy {
	t.Helper()
	c := Default()
	if change != nil {
		change(&c)
	}
	p, err := c.policy()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// outbound is a request of alice for one recipient.
func outbound(s State, from string) Request {
	return Request{
		ProtocolState: s,
		Client:        Client{Addr: netip.MustParseAddr("198.51.100.7"), Port: 4321},
		Envelope:      Envelope{MailFrom: from, RcptTo: "bob@example.net"},
		Instance:      "1.2.3",
		SASL:          SASL{Method: "PLAIN", Username: "alice@example.org"},
	}
}

var good = Facts{Known: true, User: "alice@example.org", MaySend: true, SenderLocal: true}

func with(f Facts, change func(*Facts)) Facts {
	change(&f)
	return f
}

// result is what a limit of 20 in an hour says.
func result(mode unit.Mode, allowed bool, asked, used int64) limit.Result {
	r := limit.Result{
		Limit: &limit.Limit{Name: "outgoing", Rate: limit.Per(20, time.Hour), Mode: mode},
		Rate:  limit.Rate{Count: 20, Window: time.Hour}, Span: "1h",
		Key: "alice@example.org", Asked: asked, Allowed: allowed, Used: used,
		Ends: time.Date(2026, 11, 20, 13, 4, 0, 1, time.UTC),
	}
	if r.Never() {
		r.Ends = time.Time{}
	}
	return r
}

func TestDecide(t *testing.T) {
	const own = "alice@example.org"
	inbound := Request{ProtocolState: StateRcpt, Envelope: Envelope{MailFrom: "x@example.net", RcptTo: own}}
	long := strings.Repeat("a", 300) + "@example.org"
	for _, tc := range []struct {
		name   string
		change func(*Config)
		req    Request
		facts  Facts
		want   string
		rule   string
		word   string
	}{
		{name: "inbound", req: inbound, want: "DUNNO", word: "dunno"},
		{name: "inbound, accounts away", req: inbound, facts: Facts{AccountsAway: true}, want: "DUNNO", word: "dunno"},
		{name: "unknown state", req: Request{ProtocolState: "NEW", SASL: SASL{Username: own}}, want: "DUNNO", word: "dunno"},
		{name: "submission without login", req: Request{ProtocolState: StateRcpt, PolicyContext: "submission"}, want: "DUNNO", word: "dunno"},
		{name: "own sender", req: outbound(StateRcpt, own), facts: good, want: "DUNNO", word: "dunno"},
		{
			name: "foreign sender", req: outbound(StateRcpt, "boss@example.org"),
			facts: with(good, func(f *Facts) { f.MaySend = false }),
			want:  "553 5.7.1 user alice@example.org may not send as boss@example.org; the administrator of this server can grant it",
			rule:  "reject_sender_login_mismatch", word: "reject",
		},
		{
			name: "sender of a domain of others", req: outbound(StateData, "x@example.net"),
			facts: with(good, func(f *Facts) { f.MaySend, f.SenderLocal = false, false }),
			want:  "553 5.7.1 user alice@example.org may not send as x@example.net",
			rule:  "reject_sender_login_mismatch", word: "reject",
		},
		{
			name: "foreign sender, observed", req: outbound(StateRcpt, "boss@example.org"),
			change: func(c *Config) { c.RejectSenderLoginMismatch = unit.Observe },
			facts:  with(good, func(f *Facts) { f.MaySend = false }),
			want:   "DUNNO", word: "dunno",
		},
		{
			name: "foreign sender, off", req: outbound(StateRcpt, "boss@example.org"),
			change: func(c *Config) { c.RejectSenderLoginMismatch = unit.Off },
			facts:  with(good, func(f *Facts) { f.MaySend = false }),
			want:   "DUNNO", word: "dunno",
		},
		{
			name: "hostile sender", req: outbound(StateMail, "a\tb\xff@example.org"),
			facts: with(good, func(f *Facts) { f.MaySend = false }),
			want:  "553 5.7.1 user alice@example.org may not send as a?b?@example.org; the administrator of this server can grant it",
			rule:  "reject_sender_login_mismatch", word: "reject",
		},
		{
			name: "long sender is cut", req: outbound(StateMail, long),
			facts: with(good, func(f *Facts) { f.MaySend, f.SenderLocal = false, false }),
			want:  "553 5.7.1 user alice@example.org may not send as " + long[:120] + "...",
			rule:  "reject_sender_login_mismatch", word: "reject",
		},
		{
			name: "null sender", req: outbound(StateRcpt, ""), facts: good,
			want: "553 5.7.1 user alice@example.org may not send with the null sender <>",
			rule: "reject_null_sender", word: "reject",
		},
		{
			name: "null sender allowed", req: outbound(StateRcpt, ""), facts: good,
			change: func(c *Config) { c.RejectNullSender = unit.Off },
			want:   "DUNNO", word: "dunno",
		},
		{
			name: "unknown login", req: outbound(StateRcpt, own), facts: Facts{User: own},
			want: "553 5.7.1 user alice@example.org has no account here", rule: "account_unknown", word: "reject",
		},
		{
			name: "held", req: outbound(StateRcpt, own), facts: with(good, func(f *Facts) { f.Held = true }),
			want: "451 4.7.1 sending is held for user alice@example.org; the administrator of this server can release it",
			rule: "account_held", word: "defer",
		},
		{
			name: "held, to be refused", req: outbound(StateRcpt, own), facts: with(good, func(f *Facts) { f.Held = true }),
			change: func(c *Config) { c.Held = HeldReject },
			want:   "554 5.7.1 sending is held for user alice@example.org; the administrator of this server can release it",
			rule:   "account_held", word: "reject",
		},
		{
			name: "held, recipients of mail for the hold queue pass", req: outbound(StateRcpt, own), facts: with(good, func(f *Facts) { f.Held = true }),
			change: func(c *Config) { c.Held = HeldHold },
			want:   "DUNNO", word: "dunno",
		},
		{
			name: "held, mail for the hold queue", req: outbound(StateData, own), facts: with(good, func(f *Facts) { f.Held = true }),
			change: func(c *Config) { c.Held = HeldHold },
			want:   "HOLD sending of the account is held",
			rule:   "account_held", word: "hold",
		},
		{
			name: "disabled", req: outbound(StateRcpt, own), facts: with(good, func(f *Facts) { f.Disabled = true }),
			want: "554 5.7.1 user alice@example.org is disabled", rule: "account_disabled", word: "reject",
		},
		{
			name: "held, all checks off", req: outbound(StateData, own), facts: with(good, func(f *Facts) { f.Held = true }),
			change: func(c *Config) { c.RejectNullSender, c.RejectSenderLoginMismatch = unit.Off, unit.Off },
			want:   "451 4.7.1 sending is held for user alice@example.org; the administrator of this server can release it",
			rule:   "account_held", word: "defer",
		},
		{
			name: "accounts away", req: outbound(StateRcpt, own), facts: Facts{AccountsAway: true, User: own},
			want: "451 4.3.0 temporary fault here, please try again later", rule: "account_store", word: "defer",
		},
		{
			name: "limit used up", req: outbound(StateRcpt, own),
			facts: with(good, func(f *Facts) { f.Limits = []limit.Result{result(unit.Enforce, false, 1, 20)} }),
			want:  "450 4.7.1 limit outgoing: 20 of 20 recipients in 1h used by alice@example.org; ends 2026-11-20 13:05 UTC",
			rule:  "limit outgoing", word: "defer",
		},
		{
			name: "limit reached within this mail", req: outbound(StateRcpt, own),
			facts: with(good, func(f *Facts) { f.Predicted, f.Limits = true, []limit.Result{result("", false, 6, 15)} }),
			want:  "450 4.7.1 limit outgoing: 15 of 20 recipients in 1h used by alice@example.org and 5 by this mail; ends 2026-11-20 13:05 UTC",
			rule:  "limit outgoing", word: "defer",
		},
		{
			name: "this mail is too much for the moment", req: outbound(StateData, own),
			facts: with(good, func(f *Facts) { f.Limits = []limit.Result{result("", false, 6, 15)} }),
			want:  "450 4.7.1 limit outgoing: 15 of 20 recipients in 1h used by alice@example.org, this mail has 6; ends 2026-11-20 13:05 UTC",
			rule:  "limit outgoing", word: "defer",
		},
		{
			name: "this mail is too much for ever", req: outbound(StateData, own),
			facts: with(good, func(f *Facts) { f.Limits = []limit.Result{result("", false, 21, 0)} }),
			want:  "550 5.7.1 limit outgoing: 0 of 20 recipients in 1h used by alice@example.org, this mail has 21",
			rule:  "limit outgoing", word: "reject",
		},
		{
			name: "the recipient that is one too many for ever", req: outbound(StateRcpt, own),
			facts: with(good, func(f *Facts) { f.Predicted, f.Limits = true, []limit.Result{result("", false, 21, 0)} }),
			want:  "450 4.7.1 limit outgoing: 0 of 20 recipients in 1h used by alice@example.org and 20 by this mail",
			rule:  "limit outgoing", word: "defer",
		},
		{
			name: "limit observed", req: outbound(StateData, own),
			facts: with(good, func(f *Facts) { f.Limits = []limit.Result{result(unit.Observe, false, 1, 20)} }),
			want:  "DUNNO", word: "dunno",
		},
		{
			name: "limit allows", req: outbound(StateData, own),
			facts: with(good, func(f *Facts) { f.Limits = []limit.Result{result("", true, 1, 3)} }),
			want:  "DUNNO", word: "dunno",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Decide(policyOf(t, tc.change), tc.req, tc.facts, time.Time{})
			if got.Action.String() != tc.want || got.Rule != tc.rule || got.Word() != tc.word {
				t.Errorf("Decide = %q by %q (%s),\nwant %q by %q (%s)", got.Action, got.Rule, got.Word(), tc.want, tc.rule, tc.word)
			}
			if again := Decide(policyOf(t, tc.change), tc.req, tc.facts, time.Time{}); !reflect.DeepEqual(again, got) {
				t.Errorf("Decide again = %+v, want %+v", again, got)
			}
		})
	}
}

// TestObserveAnswersLikeOff compares each mode observe with off, byte for byte,
// and looks for what it notes.
func TestObserveAnswersLikeOff(t *testing.T) {
	refused := with(good, func(f *Facts) {
		f.MaySend = false
		f.Limits = []limit.Result{result(unit.Observe, false, 1, 20)}
	})
	for _, tc := range []struct {
		name, from, would string
		facts             Facts
		set               func(*Config, unit.Mode)
	}{
		{"sender", "boss@example.org", ruleSender, refused, func(c *Config, m unit.Mode) { c.RejectSenderLoginMismatch = m }},
		{"null sender", "", ruleNullSender, refused, func(c *Config, m unit.Mode) { c.RejectNullSender = m }},
		{"limit", "alice@example.org", "limit outgoing", with(refused, func(f *Facts) { f.MaySend = true }), func(*Config, unit.Mode) {}},
		{"rule", "alice@example.org", "rule no", good, func(c *Config, m unit.Mode) {
			c.Rules = []Rule{{Name: "no", Mode: m, Action: "REJECT no"}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := outbound(StateRcpt, tc.from)
			off := Decide(policyOf(t, func(c *Config) { tc.set(c, unit.Off) }), req, tc.facts, time.Time{})
			observed := Decide(policyOf(t, func(c *Config) { tc.set(c, unit.Observe) }), req, tc.facts, time.Time{})
			if off.Action != Dunno() || observed.Action != off.Action || observed.Rule != off.Rule {
				t.Errorf("observe answers %q by %q, off %q by %q", observed.Action, observed.Rule, off.Action, off.Rule)
			}
			noted := false
			for _, w := range observed.Would {
				noted = noted || w.Rule == tc.would && w.Action.Refuses()
			}
			if !noted {
				t.Errorf("observe notes %+v, want a refusal by %q", observed.Would, tc.would)
			}
		})
	}
}

func TestDecideRules(t *testing.T) {
	networks := []netaddr.Prefix{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, {Prefix: netip.MustParsePrefix("2001:db8::/32")}}
	rules := []Rule{
		{Name: "off", Mode: unit.Off, Action: "REJECT off"},
		{Name: "watch", Mode: unit.Observe, When: When{ClientNetworks: networks}, Action: "HOLD"},
		{Name: "nets", When: When{ClientNetworks: networks}, Action: "REJECT not from there"},
		{Name: "backup", When: When{PolicyContext: "backup"}, Action: "OK", PermitsRelay: true},
		{Name: "late", When: When{ProtocolState: "end-of-message", PolicyContext: "late"}, Action: "HOLD late"},
		{Name: "early", When: When{ProtocolState: "CONNECT", ClientNetworks: networks}, Action: "521 5.7.1 go away"},
	}
	p := policyOf(t, func(c *Config) { c.Rules = rules })
	for _, tc := range []struct {
		name, client, context string
		state                 State
		want, rule, word      string
	}{
		{"none matches", "203.0.113.1", "", StateRcpt, "DUNNO", "", "dunno"},
		{"IPv4 network", "192.0.2.77", "", StateRcpt, "REJECT not from there", "rule nets", "reject"},
		{"IPv6 network", "2001:db8::1", "", StateRcpt, "REJECT not from there", "rule nets", "reject"},
		{"no address", "", "", StateRcpt, "DUNNO", "", "dunno"},
		{"other state", "192.0.2.77", "", StateData, "DUNNO", "", "dunno"},
		{"context permits", "203.0.113.1", "backup", StateRcpt, "OK", "rule backup", "permit"},
		{"the first wins", "192.0.2.1", "backup", StateRcpt, "REJECT not from there", "rule nets", "reject"},
		{"end of message", "203.0.113.1", "late", StateEndOfMessage, "HOLD late", "rule late", "hold"},
		{"connect", "192.0.2.1", "", StateConnect, "521 5.7.1 go away", "rule early", "reject"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := Request{ProtocolState: tc.state, PolicyContext: tc.context}
			if tc.client != "" {
				req.Client.Addr = netip.MustParseAddr(tc.client)
			}
			got := Decide(p, req, Facts{}, time.Time{})
			if got.Action.String() != tc.want || got.Rule != tc.rule || got.Word() != tc.word {
				t.Errorf("Decide = %q by %q (%s), want %q by %q (%s)", got.Action, got.Rule, got.Word(), tc.want, tc.rule, tc.word)
			}
		})
	}
	held := outbound(StateRcpt, "alice@example.org")
	held.PolicyContext = "backup"
	if got := Decide(p, held, with(good, func(f *Facts) { f.Held = true }), time.Time{}); got.Rule != ruleHeld {
		t.Errorf("a rule that permits beats a held account: %+v", got)
	}
}

// TestNothingPermitsByDefault asks every state with every combination of facts
// for an answer outside the closed set.
func TestNothingPermitsByDefault(t *testing.T) {
	p := policyOf(t, nil)
	for _, s := range append(states, "", "OTHER") {
		for bits := range 1 << 6 {
			on := func(i int) bool { return bits>>i&1 == 1 }
			f := Facts{AccountsAway: on(0), Known: on(1), Held: on(2), Disabled: on(3), MaySend: on(4), User: "a@example.org"}
			req := outbound(s, "a@example.org")
			if on(5) {
				req.SASL = SASL{}
			}
			wire, err := AppendReply(nil, Decide(p, req, f, time.Time{}).Action)
			if err != nil {
				t.Fatalf("Decide(%s, %+v): %v", s, f, err)
			}
			if a, err := ParseReply(wire); err != nil {
				t.Errorf("Decide(%s, %+v) = %q: %v", s, f, a, err)
			}
		}
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"default", func(*Config) {}, ""},
		{"modes", func(c *Config) { c.RejectNullSender, c.RejectSenderLoginMismatch = "x", "" }, "reject_sender_login_mismatch reject_null_sender"},
		{"bounds", func(c *Config) { c.MaxConnections, c.IdleTimeout, c.RequestTimeout, c.Grace = 0, 0, 0, -1 }, "max_connections idle_timeout request_timeout grace"},
		{"limits", func(c *Config) { c.Limits = []limit.Limit{{Name: "x"}} }, "limits[0].rate"},
		{"default action", func(c *Config) { c.DefaultAction = "OK" }, "default_action"},
		{"default action that tells", func(c *Config) { c.DefaultAction = "WARN x" }, "default_action"},
		{"groups", func(c *Config) { c.Groups = map[string][]string{"a@b.example": {"x"}} }, "groups groups.a@b.example"},
		{"group that is not there", func(c *Config) {
			c.Limits[0].Overrides = []limit.Override{{For: []string{"staff"}, Rate: limit.Per(1, time.Hour)}}
		}, "limits[0].overrides[0].for"},
		{"profile", func(c *Config) { c.Profiles = map[string]Profile{"x": {Limits: &[]string{"no"}, Rules: "x"}} }, "profiles.x.limits profiles.x.rules"},
		{"no name, no action", func(c *Config) { c.Rules = []Rule{{}} }, "rules[0].name rules[0].action"},
		{"same name", func(c *Config) { c.Rules = []Rule{{Name: "a", Action: "HOLD"}, {Name: "a", Action: "HOLD"}} }, "rules[1].name"},
		{"mode", func(c *Config) { c.Rules = []Rule{{Name: "a", Mode: "on", Action: "HOLD"}} }, "rules[0].mode"},
		{"state", func(c *Config) { c.Rules = []Rule{{Name: "a", Action: "HOLD", When: When{ProtocolState: "BDAT"}}} }, "rules[0].when.protocol_state"},
		{"permits", func(c *Config) { c.Rules = []Rule{{Name: "a", Action: "OK", When: When{PolicyContext: "x"}}} }, "rules[0].action"},
		{"permits everybody", func(c *Config) { c.Rules = []Rule{{Name: "a", Action: "OK", PermitsRelay: true}} }, "rules[0].when"},
		{"too late", func(c *Config) {
			c.Rules = []Rule{{Name: "a", Action: "PREPEND X: y", When: When{ProtocolState: "END-OF-MESSAGE"}}}
		}, "rules[0].action"},
		{"host bits", func(c *Config) {
			c.Rules = []Rule{{Name: "a", Action: "HOLD", When: When{ClientNetworks: []netaddr.Prefix{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}}}}
		}, "rules[0].when.client_networks"},
		{"many rules", func(c *Config) {
			for i := range maxRules + 1 {
				c.Rules = append(c.Rules, Rule{Name: string(rune('a'+i%26)) + strings.Repeat("x", i/26%60) + strings.Repeat("y", i/1560), Action: "HOLD"})
			}
		}, "rules"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Default()
			tc.change(&c)
			var keys []string
			for _, err := range config.Faults(c.Validate()) {
				keys = append(keys, err.(*config.Fault).Key)
			}
			if got := strings.Join(keys, " "); got != tc.want {
				t.Errorf("Validate() faults %q, want %q (%v)", got, tc.want, c.Validate())
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	c := Default()
	if got := c.Warnings(); len(got) != 0 {
		t.Errorf("Warnings() of the default = %q, want none", got)
	}
	c.Rules = []Rule{
		{Name: "plain", Action: "HOLD"},
		{Name: "backup", Action: "OK", PermitsRelay: true, When: When{PolicyContext: "x"}},
		{Name: "asleep", Mode: unit.Off, Action: "OK", PermitsRelay: true, When: When{PolicyContext: "x"}},
	}
	got := c.Warnings()
	if len(got) != 1 || !strings.Contains(got[0], "rules[1]: rule backup") || !strings.Contains(got[0], "permits relaying") {
		t.Errorf("Warnings() = %q, want one about rules[1]", got)
	}
}

func TestLimitsFromFile(t *testing.T) {
	file := struct {
		Policyd Config `yaml:"policyd"`
	}{Default()}
	const text = `policyd:
  default_action: 421 4.3.2 later
  groups:
    staff: [alice@example.org, "@staff.example"]
  profiles:
    relay: { outbound: true, limits: [traffic], rules: off }
    lists: { limits: [], reject_null_sender: observe }
  limits:
    - name: outgoing
      by: user, recipient_domain
      of: distinct_recipients
      rate: 200/hour, 1000/day
      burst: 20
      overrides:
        - { for: [staff, 192.0.2.0/24], rate: 500/hour }
    - { name: traffic, of: bytes, rate: 1GB/day, direction: outbound }
`
	if err := config.Decode("gatepost.yaml", []byte(text), &file); err != nil {
		t.Fatal(err)
	}
	c := file.Policyd
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := c.policy()
	if err != nil {
		t.Fatal(err)
	}
	if got := p.profile("relay"); !got.outbound || got.rules || !slices.Equal(got.limits.Names(), []string{"traffic"}) || got.bytes.Empty() {
		t.Errorf("profile relay %+v", got)
	}
	if got := p.profile("lists"); got.outbound || !got.rules || !got.limits.Empty() || got.nullSender != unit.Observe {
		t.Errorf("profile lists %+v", got)
	}
	if got := p.profile("submission"); !got.outbound || !got.needsRcpts || len(got.limits.Names()) != 2 {
		t.Errorf("profile submission %+v", got)
	}
	active := c.ActiveLimits()
	if got := active[0].Overrides[0].For; !slices.Equal(got, []string{"alice@example.org", "@staff.example", "192.0.2.0/24"}) {
		t.Errorf("override for %q", got)
	}
	if active[0].Rate.String() != "200/1h, 1000/1d" || active[1].Rate.String() != "1GB/1d" || c.Limits[0].Overrides[0].For[0] != "staff" {
		t.Errorf("limits %+v", active)
	}
}

func TestConfigFromFile(t *testing.T) {
	file := struct {
		Policyd Config `yaml:"policyd"`
	}{Default()}
	const text = `policyd:
  reject_null_sender: observe
  limits:
    - name: outgoing
      by: user
      rate: 20/hour
    - {name: daily, rate: 100/1d, mode: observe}
  rules:
    - name: backup
      when:
        client_networks: [192.0.2.0/24, "2001:db8::/32"]
        protocol_state: rcpt
      action: OK
      permits_relay: true
  idle_timeout: 5m
`
	if err := config.Decode("gatepost.yaml", []byte(text), &file); err != nil {
		t.Fatal(err)
	}
	c := file.Policyd
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(c.Limits) != 2 || c.Limits[1].Rate[0].Window != 24*time.Hour || !c.Limits[0].Enforced() || c.Limits[1].Enforced() {
		t.Errorf("limits %+v", c.Limits)
	}
	if len(c.Rules) != 1 || len(c.Rules[0].When.ClientNetworks) != 2 || len(c.Warnings()) != 1 {
		t.Errorf("rules %+v, warnings %q", c.Rules, c.Warnings())
	}
	if c.RejectNullSender != unit.Observe || c.IdleTimeout.Std() != 5*time.Minute || c.RequestTimeout != Default().RequestTimeout {
		t.Errorf("config %+v", c)
	}
}
