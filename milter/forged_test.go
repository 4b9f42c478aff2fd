package milter

import (
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/unit"
)

// TestForgedLocalSender: an author of ours in mail from outside is refused where
// nothing vouches for him, and in no other case.
func TestForgedLocalSender(t *testing.T) {
	failed := asks(authres.Fail, dmarc.None)
	failed.DKIMChecked = true
	failed.SPF.MailFrom = mailauth.SPFMailFrom{Result: authres.Fail, Domain: "example.org"}
	with := func(change func(*mailauth.Results)) mailauth.Results {
		r := failed
		change(&r)
		return r
	}
	const code = "554 5.7.1 the author's domain is served here, and nothing proves that it sent this message"
	ours := "From: Alice <alice@example.org>"
	for _, tc := range []struct {
		name    string
		mode    unit.Mode
		from    string
		auth    mailauth.Results
		change  func(*Config)
		refused bool
		would   string
	}{
		{name: "nothing vouches", mode: unit.Enforce, from: ours, auth: failed, refused: true},
		{name: "observed", mode: unit.Observe, from: ours, auth: failed, would: "reject_forged_local_sender: " + code},
		{name: "off", mode: unit.Off, from: ours, auth: failed},
		{name: "another domain", mode: unit.Enforce, from: "From: Bob <bob@example.net>", auth: failed},
		{name: "DMARC", mode: unit.Enforce, from: ours, auth: with(func(r *mailauth.Results) { r.DMARC.Result = authres.Pass })},
		{name: "SPF", mode: unit.Enforce, from: ours, auth: with(func(r *mailauth.Results) { r.SPF.MailFrom.Result = authres.Pass })},
		{name: "DKIM", mode: unit.Enforce, from: ours, auth: with(func(r *mailauth.Results) {
			r.DKIM = []mailauth.DKIM{{Result: authres.Pass, Domain: "example.org"}}
		})},
		{name: "trusted forwarder", mode: unit.Enforce, from: ours, auth: passedOn(failed)},
		{name: "the DNS did not answer for SPF", mode: unit.Enforce, from: ours, auth: with(func(r *mailauth.Results) { r.SPF.MailFrom.Result = authres.TempError })},
		{name: "the DNS did not answer for a key", mode: unit.Enforce, from: ours, auth: with(func(r *mailauth.Results) {
			r.DKIM = []mailauth.DKIM{{Result: authres.TempError, Domain: "example.org"}}
		})},
		{name: "nothing was checked", mode: unit.Enforce, from: ours, auth: mailauth.Results{}},
		{name: "the rule is observed only", mode: unit.Enforce, from: ours, auth: failed, change: func(c *Config) {
			c.Scan.Rules = map[string]scan.RuleConfig{lineForgedLocal: {Mode: unit.Observe}}
		}},
		{name: "let in by an entry", mode: unit.Enforce, from: ours, auth: failed, change: func(c *Config) {
			var e scan.Entry
			if err := e.UnmarshalText([]byte("192.0.2.7")); err != nil {
				panic(err)
			}
			c.Scan.Allow = []scan.Entry{e}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.RejectForgedLocalSender = tc.mode
			if tc.change != nil {
				tc.change(&cfg)
			}
			j, msg := &records{}, plain()
			msg.Header[0] = tc.from
			ln := serve(t, cfg, Deps{Auth: &checker{give: tc.auth}, Scan: scan.Scan, Journal: j}, quiet(), scan.Inbound)
			_, final := ln.dial(t).hello().transfer(msg)
			if refused := final == (packet{'y', code + "\x00"}); refused != tc.refused || !refused && final.Code != 'a' {
				t.Errorf("answer %v, want refused: %v", final, tc.refused)
			}
			r := j.last(t)
			if r.fact("would_have") != tc.would || tc.refused && (r.Verdict != "reject" || r.Reply != code) {
				t.Errorf("journal %+v", r.Record)
			}
		})
	}
	cfg := testConfig()
	cfg.RejectForgedLocalSender = "maybe"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "reject_forged_local_sender") {
		t.Errorf("Validate = %v", err)
	}
}
