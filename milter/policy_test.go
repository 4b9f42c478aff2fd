package milter

import (
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// asks is mail on which DMARC has this result where the policy is p.
func asks(res authres.Result, p dmarc.Policy) mailauth.Results {
	r := mailauth.Results{DMARCChecked: true, DMARC: dmarc.Result{Result: res, Domain: "d.example"}}
	r.SPF.MailFrom = mailauth.SPFMailFrom{Result: authres.None, Domain: "x.example", Sender: "a@x.example"}
	r.DMARC.Applied = dmarc.Applied{Domain: "d.example", Tag: "p", Published: p, Effective: p}
	return r
}

// passedOn is mail that a trusted forwarder speaks for.
func passedOn(r mailauth.Results) mailauth.Results {
	r.Forwarder = mailauth.Forwarder{Domain: "lists.example", Method: authres.ARC}
	r.ARC = arc.Result{Result: authres.Pass, Sets: []arc.Set{{Instance: 1, Seal: dkim.Result{Signature: dkim.Signature{Signer: dkim.Signer{Domain: "lists.example"}}}}}}
	return r
}

// points is a score of DMARC's own and of other rules.
func points(own, other float64) *scan.Result {
	r := &scan.Result{Lines: []verdict.Line{{Name: "DMARC_FAIL_REJECT", Score: own}, {Name: "SPF_FAIL", Score: other}}, Score: own + other}
	if r.Score >= 6 {
		r.Verdict = verdict.Mark
	}
	return r
}

// refused is a score that refuses.
func refused() *scan.Result {
	return &scan.Result{Lines: []verdict.Line{{Name: "SPF_FAIL", Score: 20}}, Score: 20, Verdict: verdict.Reject}
}

// withoutSPF is mail whose client is not known.
func withoutSPF(r mailauth.Results) mailauth.Results {
	r.SPF = mailauth.SPF{}
	return r
}

func TestPolicy(t *testing.T) {
	enforce := func(c *Config) { c.DMARC = PolicyEnforced }
	alone := func(c *Config) { c.DMARC, c.DMARCRejectAlone = PolicyEnforced, true }
	noMark := func(c *Config) { c.DMARC, c.Scan.Mark = PolicyEnforced, 0 }
	for _, tc := range []struct {
		name string
		set  func(*Config)
		auth mailauth.Results
		scan *scan.Result
		want verdict.Verdict
	}{
		{"score: reject", nil, asks(authres.Fail, dmarc.Reject), points(0, 0), verdict.Accept},
		{"score: reject, marked by score", nil, asks(authres.Fail, dmarc.Reject), points(7, 6), verdict.Mark},
		{"none", enforce, asks(authres.Fail, dmarc.None), points(0, 0), verdict.Accept},
		{"quarantine", enforce, asks(authres.Fail, dmarc.Quarantine), points(0, 0), verdict.Mark},
		{"quarantine, without a score", enforce, asks(authres.Fail, dmarc.Quarantine), nil, verdict.Mark},
		{"quarantine is no refusal", enforce, asks(authres.Fail, dmarc.Quarantine), points(3.5, 10), verdict.Mark},
		{"reject alone", enforce, asks(authres.Fail, dmarc.Reject), points(7, 0), verdict.Mark},
		{"reject, the score nearly agrees", enforce, asks(authres.Fail, dmarc.Reject), points(7, 5.99), verdict.Mark},
		{"reject, the score agrees", enforce, asks(authres.Fail, dmarc.Reject), points(7, 6), verdict.Reject},
		{"reject, without a score", enforce, asks(authres.Fail, dmarc.Reject), nil, verdict.Mark},
		{"reject, mark is off", noMark, asks(authres.Fail, dmarc.Reject), points(7, 10), verdict.Mark},
		{"reject alone, as set", alone, asks(authres.Fail, dmarc.Reject), points(0, 0), verdict.Reject},
		{"reject alone, as set: quarantine", alone, asks(authres.Fail, dmarc.Quarantine), points(0, 0), verdict.Mark},
		{"pass", alone, asks(authres.Pass, dmarc.Reject), points(0, 0), verdict.Accept},
		{"temperror, score", nil, asks(authres.TempError, dmarc.Reject), points(0, 0), verdict.Accept},
		{"temperror, reject", enforce, asks(authres.TempError, dmarc.Reject), points(0, 0), verdict.Defer},
		{"temperror, reject alone", alone, asks(authres.TempError, dmarc.Reject), nil, verdict.Defer},
		{"temperror, quarantine", enforce, asks(authres.TempError, dmarc.Quarantine), points(0, 0), verdict.Defer},
		{"temperror, marked by score", enforce, asks(authres.TempError, dmarc.Reject), points(0, 7), verdict.Defer},
		{"temperror, refused by score", enforce, asks(authres.TempError, dmarc.Reject), refused(), verdict.Reject},
		{"temperror, none", alone, asks(authres.TempError, dmarc.None), points(0, 0), verdict.Accept},
		{"temperror, policy not known", alone, asks(authres.TempError, ""), points(0, 0), verdict.Accept},
		{"temperror, trusted forwarder", enforce, passedOn(asks(authres.TempError, dmarc.Reject)), points(0, 0), verdict.Accept},
		{"temperror, client not known", enforce, withoutSPF(asks(authres.TempError, dmarc.Reject)), points(0, 0), verdict.Accept},
		{"From is unclear", alone, asks(authres.PermError, ""), points(0, 0), verdict.Mark},
		{"trusted forwarder", alone, passedOn(asks(authres.Fail, dmarc.Reject)), points(0, 0), verdict.Accept},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Scan = scan.Default()
			if tc.set != nil {
				tc.set(&cfg)
			}
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			d := decide(facts{Auth: tc.auth, Scan: tc.scan, Policy: policyOf(&cfg, tc.auth)})
			want := map[verdict.Verdict]reply.Reply{verdict.Reject: replyPolicy, verdict.Defer: replyPolicyLater}[tc.want]
			if tc.scan != nil && tc.scan.Verdict == verdict.Reject {
				want = replySpam
			}
			if d.Verdict != tc.want || d.Reply != want {
				t.Errorf("decide = %v %q, want %v", d.Verdict, d.Reply, tc.want)
			}
		})
	}
	if got := replyPolicy.String(); got != "554 5.7.1 message refused by the DMARC policy of the domain in From" {
		t.Errorf("reply %q", got)
	}
	if got := replyPolicyLater.String(); got != "451 4.7.1 the DNS did not answer for the DMARC policy of the domain in From, please try again later" {
		t.Errorf("reply %q", got)
	}
	cfg := testConfig()
	cfg.DMARC, cfg.DMARCRejectAlone = "observe", true
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "dmarc") {
		t.Errorf("Validate = %v", err)
	}
}

// TestPolicyIsTold: the journal has result, reason and policy, and what became
// of it, of refused messages too; a mark is kept for the delivery.
func TestPolicyIsTold(t *testing.T) {
	for _, tc := range []struct {
		name         string
		auth         mailauth.Results
		alone        bool
		code         byte
		dmarc, done  string
		arc, forward string
		row          verdict.Verdict
	}{
		{"refused", asks(authres.Fail, dmarc.Reject), true, 'y', "fail, d.example", "reject, by p=reject of d.example; done: reject", "", "", 0},
		{"marked", asks(authres.Fail, dmarc.Reject), false, 'a', "fail, d.example", "reject, by p=reject of d.example; done: quarantine, local_policy", "", "", verdict.Mark},
		{"passed on", passedOn(asks(authres.Fail, dmarc.Reject)), false, 'a', "fail, d.example", "reject, by p=reject of d.example; done: none, trusted_forwarder", "pass; i=1 lists.example", "lists.example, by arc", verdict.Accept},
		{"no answer", asks(authres.TempError, dmarc.Reject), false, 'y', "temperror, d.example", "reject if nothing vouches, by p=reject of d.example", "", "", 0},
		{"no answer, passed on", passedOn(asks(authres.TempError, dmarc.Reject)), false, 'a', "temperror, d.example", "", "pass; i=1 lists.example", "lists.example, by arc", verdict.Accept},
		{"pass", asks(authres.Pass, dmarc.Reject), false, 'a', "pass, d.example", "reject, by p=reject of d.example; done: pass", "", "", verdict.Accept},
		{"no record", mailauth.Results{DMARCChecked: true, DMARC: dmarc.Result{Result: authres.None, Reason: "no record", Domain: "d.example"}}, true, 'a', "none, d.example, no record", "", "", "", verdict.Accept},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Scan = scan.Default()
			cfg.DMARC, cfg.DMARCRejectAlone = PolicyEnforced, tc.alone
			j, rows := &records{}, &verdictRows{}
			s := seen{give: scan.Result{Score: 1}}
			ln := serve(t, cfg, Deps{Auth: &checker{give: tc.auth}, Scan: s.scan, Journal: j, Verdicts: rows}, quiet(), scan.Inbound)
			changes, final := ln.dial(t).hello().transfer(plain())
			if final.Code != tc.code {
				t.Fatalf("final answer %v", final)
			}
			r := j.last(t)
			for key, want := range map[string]string{"dmarc": tc.dmarc, "dmarc_policy": tc.done, "arc": tc.arc, "forwarder": tc.forward} {
				if got := r.fact(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
			if tc.code == 'y' {
				return
			}
			if len(rows.rows) != 1 || rows.rows[0].Verdict != tc.row || rows.rows[0].Score != 1 {
				t.Errorf("rows %+v, want one with %v", rows.rows, tc.row)
			}
			ar := value(queued(t, plain(), changes), "Authentication-Results")
			if !strings.Contains(ar, "dmarc="+string(tc.auth.DMARC.Result)) {
				t.Errorf("Authentication-Results: %q", ar)
			}
		})
	}
}
