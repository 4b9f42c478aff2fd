package shared

import (
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

func TestBreakerOpens(t *testing.T) {
	type step struct {
		o    outcome
		took time.Duration
	}
	ms := time.Millisecond
	for _, tc := range []struct {
		name  string
		steps []step
		want  string // of the last step; the others are ""
	}{
		{"good answers", []step{{answered, ms}, {answered, 99 * ms}}, ""},
		{"one without an answer", []step{{answered, ms}, {timedOut, 250 * ms}}, "no answer in time"},
		{"one slow answer", []step{{answered, 100 * ms}}, "slow answers"},
		{"one slow failure", []step{{failed, 200 * ms}}, "slow answers"},
		{"a failure now and then", []step{{failed, ms}, {failed, ms}, {answered, ms}, {failed, ms}, {failed, ms}}, ""},
		{"failures in a row", []step{{failed, ms}, {failed, ms}, {failed, ms}}, "errors"},
	} {
		b := breaker{slow: 100 * ms}
		for i, s := range tc.steps {
			want := ""
			if i == len(tc.steps)-1 {
				want = tc.want
			}
			if got := b.call(s.o, s.took); got != want {
				t.Errorf("%s: step %d opens because of %q, want %q", tc.name, i, got, want)
			}
		}
		if b.open != (tc.want != "") {
			t.Errorf("%s: open is %v", tc.name, b.open)
		}
		if again := b.call(timedOut, time.Second); b.open && tc.want != "" && again != "" {
			t.Errorf("%s: opens twice: %q", tc.name, again)
		}
	}
}

func TestBreakerProbes(t *testing.T) {
	ms := time.Millisecond
	b := breaker{slow: 100 * ms}
	if why, heal := b.probe(true, ms); why != "" || heal {
		t.Errorf("a good probe of a closed one = %q, %v", why, heal)
	}
	if why, _ := b.probe(true, 150*ms); why == "" || !b.open {
		t.Error("a slow probe did not open it")
	}
	for i, s := range []struct {
		ok   bool
		took time.Duration
		heal bool
	}{
		{false, ms, false}, {true, ms, false}, {true, 67 * ms, false}, {true, 65 * ms, false}, {false, ms, false},
		{true, ms, false}, {true, ms, true},
	} {
		if why, heal := b.probe(s.ok, s.took); why != "" || heal != s.heal {
			t.Errorf("probe %d = %q, %v, want heal %v", i, why, heal, s.heal)
		}
	}
	if !b.open {
		t.Error("a probe alone closed it")
	}
	b.close()
	if why, _ := b.probe(false, ms); why == "" || !b.open {
		t.Error("a failed probe did not open it")
	}
}

// TestRulesOfTables holds the table in the package's doc.
func TestRulesOfTables(t *testing.T) {
	for _, tc := range []struct {
		t    state.Table
		key  string
		want rule
	}{
		{state.Delivery, "q/1", rule{copied: true, both: true, alone: true, merged: true}},
		{state.Ban, "b", rule{copied: true, alone: true, merged: true, whole: true}},
		{state.Login, "l", rule{copied: true, alone: true, merged: true, whole: true}},
		{state.Limit, "rate/x", rule{copied: true, alone: true, merged: true, whole: true}},
		{state.Seen, "s", rule{}},
		{state.Sent, "habit/x", rule{copied: true, alone: true, merged: true}},
		{state.Sent, "hash", rule{merged: true}},
		{state.Author, "a", rule{merged: true}},
		{state.Reputation, "r", rule{merged: true}},
		{state.TLSPolicy, "example.org", rule{copied: true, alone: true, merged: true}},
		{state.Sieve, "mark/x", rule{copied: true, both: true, alone: true, merged: true}},
	} {
		if got := ruleOf(tc.t, tc.key); got != tc.want {
			t.Errorf("ruleOf(%s, %s) = %+v, want %+v", tc.t, tc.key, got, tc.want)
		}
	}
}
