package scan

import (
	"fmt"
	"maps"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/verdict"
)

func TestDecide(t *testing.T) {
	server := Thresholds{Reject: 15, Quarantine: 12, Mark: 6}
	one := []recipient{{Thresholds: server}}
	rcpt := func(key string, own float64) recipient { return recipient{key, server, own} }
	strict := recipient{key: "strict@b", Thresholds: Thresholds{Reject: 8, Mark: 2}}
	for _, tc := range []struct {
		name  string
		score float64
		named named
		rcpts []recipient
		dir   Direction
		want  Result
	}{
		{"nothing", 3.9, named{}, one, Inbound, Result{}},
		{"greylist", 4, named{}, one, Inbound, Result{Greylist: true}},
		{"greylist is for strangers", 4, named{}, one, Outbound, Result{}},
		{"mark", 6, named{}, one, Inbound, Result{Verdict: verdict.Mark, Greylist: true}},
		{"no mark outbound", 11, named{}, one, Outbound, Result{}},
		{"quarantine", 12, named{}, one, Inbound, Result{Verdict: verdict.Quarantine, Greylist: true}},
		{"reject", 15, named{}, one, Inbound, Result{Verdict: verdict.Reject}},
		{"reject outbound", 15, named{}, one, Outbound, Result{Verdict: verdict.Reject}},
		{"off", 1000, named{}, []recipient{{}}, Inbound, Result{Greylist: true}},
		{"named mark", 0, named{verdict: verdict.Mark}, one, Inbound, Result{Verdict: verdict.Mark}},
		{"named mark outbound", 0, named{verdict: verdict.Mark}, one, Outbound, Result{}},
		{"named defer", 14, named{verdict: verdict.Defer}, one, Inbound, Result{Verdict: verdict.Defer}},
		{"named reject with a text", 0, named{verdict: verdict.Reject, reply: "no"}, one, Inbound, Result{Verdict: verdict.Reject, Reject: "no"}},
		{"the score is worse than the name", 15, named{verdict: verdict.Defer}, one, Inbound, Result{Verdict: verdict.Reject}},
		{"discard", 7, named{discard: true}, one, Inbound, Result{Verdict: verdict.Mark, Discard: true}},
		{"discard loses against reject", 15, named{discard: true}, one, Inbound, Result{Verdict: verdict.Reject}},
		{"discard loses against defer", 0, named{discard: true, verdict: verdict.Defer}, one, Inbound, Result{Verdict: verdict.Defer}},

		{"all agree to refuse", 16, named{}, []recipient{rcpt("a@b", 0), strict}, Inbound, Result{Verdict: verdict.Reject}},
		{"one would refuse", 9, named{}, []recipient{strict, rcpt("a@b", 0)}, Inbound, Result{Verdict: verdict.Mark, Greylist: true}},
		{"one would refuse, one accept", 9, named{}, []recipient{strict, rcpt("a@b", -100)}, Inbound,
			Result{Greylist: true, ByRcpt: map[string]verdict.Verdict{"strict@b": verdict.Mark}}},
		{"all keep aside, one would refuse", 13, named{}, []recipient{strict, rcpt("a@b", 0)}, Inbound, Result{Verdict: verdict.Quarantine, Greylist: true}},
		{"one keeps aside", 13, named{}, []recipient{rcpt("a@b", 0), rcpt("c@b", -10)}, Inbound,
			Result{Greylist: true, ByRcpt: map[string]verdict.Verdict{"a@b": verdict.Mark}}},
		{"denied by one", 0, named{}, []recipient{rcpt("a@b", 100), rcpt("c@b", 0)}, Inbound,
			Result{ByRcpt: map[string]verdict.Verdict{"a@b": verdict.Mark}}},
		{"a named refusal is for all", 0, named{verdict: verdict.Reject}, []recipient{rcpt("a@b", -100), rcpt("c@b", 0)}, Inbound, Result{Verdict: verdict.Reject}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Result{Score: tc.score}
			decide(&got, tc.named, tc.rcpts, tc.dir, 4)
			tc.want.Score = tc.score
			if !maps.Equal(got.ByRcpt, tc.want.ByRcpt) || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tc.want) {
				t.Errorf("decide = %+v, want %+v", got, tc.want)
			}
			for key := range got.ByRcpt {
				if a, err := mailaddr.Parse(key); err != nil || folded(a.String()) != key {
					t.Errorf("the key %q is no address in lower case", key)
				}
			}
		})
	}
}

// TestThresholdsByRecipient: a mailbox's thresholds come before its domain's,
// and those before the server's, one by one.
func TestThresholdsByRecipient(t *testing.T) {
	p := func(f float64) *float64 { return &f }
	cfg := Default()
	cfg.Domains = map[string]RecipientConfig{"Strict.example": {Reject: p(8), Mark: p(3)}}
	cfg.Users = map[string]RecipientConfig{"Ann@strict.example": {Mark: p(5)}, "bob@own.example": {Reject: p(0)}}
	l := newLevels(cfg)
	for to, want := range map[string]Thresholds{
		"x@own.example":           {15, 0, 6},
		"x@strict.example":        {8, 0, 3},
		"ANN@strict.example":      {8, 0, 5},
		"ann+shop@strict.example": {8, 0, 5},
		"bob@own.example":         {0, 0, 6},
	} {
		rs := l.of(Message{RcptTo: []mailaddr.Address{address(t, to)}}, nil)
		if len(rs) != 1 || rs[0].Thresholds != want {
			t.Errorf("%s: %+v, want %+v", to, rs, want)
		}
	}
	if rs := l.of(Message{Direction: Outbound, RcptTo: []mailaddr.Address{address(t, "x@strict.example")}}, nil); rs[0].Thresholds != l.server {
		t.Errorf("outbound mail is judged by its recipient's wishes: %+v", rs)
	}
}

func address(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	a, err := mailaddr.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
