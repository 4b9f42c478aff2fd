package mailauth

import (
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
)

func TestProves(t *testing.T) {
	spf := func(d string, res authres.Result) Results {
		return Results{SPF: SPF{MailFrom: SPFMailFrom{Result: res, Domain: d}}}
	}
	sig := func(d string, res authres.Result) Results { return Results{DKIM: []DKIM{{Domain: d, Result: res}}} }
	policy := func(r Results, d string, res authres.Result) Results {
		r.DMARC = dmarc.Result{Domain: d, Result: res}
		return r
	}
	for _, tc := range []struct {
		name string
		r    Results
		want bool
	}{
		{"nothing", Results{}, false},
		{"SPF", spf("mail.sender.example", authres.Pass), true},
		{"SPF of another", spf("other.example", authres.Pass), false},
		{"SPF fails", spf("sender.example", authres.SoftFail), false},
		{"DKIM", sig("sender.example", authres.Pass), true},
		{"DKIM of another", sig("esp.example", authres.Pass), false},
		{"DKIM fails", sig("sender.example", authres.Fail), false},
		{"DMARC", policy(Results{}, "sender.example", authres.Pass), true},
		{"DMARC of another", policy(Results{}, "other.example", authres.Pass), false},
		{"strict DMARC outweighs", policy(sig("mail.sender.example", authres.Pass), "sender.example", authres.Fail), false},
		{"no policy", policy(sig("sender.example", authres.Pass), "sender.example", authres.None), true},
	} {
		if got := tc.r.Proves("www.sender.example"); got != tc.want {
			t.Errorf("%s: Proves = %v, want %v", tc.name, got, tc.want)
		}
	}
}
