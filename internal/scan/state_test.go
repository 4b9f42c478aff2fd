package scan

import (
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// TestRulesCount: what a rule has hit is told of observed rules too, of those
// that failed, and goes on when the configuration is read again.
func TestRulesCount(t *testing.T) {
	cfg := Default()
	cfg.Rules = map[string]RuleConfig{"GTUBE": {Mode: unit.Observe}}
	cfg.Deny = []Entry{entryOf(t, "spam.example")}
	cfg.AdminRules = []AdminRule{{Name: "TRUE", When: "true", Score: 1}, {Name: "FAILS", When: `to[7] == "x"`, Score: 1}}
	m := Message{Raw: read(t, "rules/GTUBE.hit.eml"), MailFrom: mailaddr.Address{LocalPart: "a", Domain: "spam.example"}, Learned: Learned{Logit: 5, Weight: 1, Ham: 10, Spam: 10}}
	var e *Engine
	for n := 1; n <= 2; n++ {
		next, err := New(cfg, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		if e != nil {
			next.Follow(e)
		}
		e = next
		e.Scan(m, noon)
		want := map[string]State{
			"GTUBE": {Hits: int64(n)}, "DENIED": {Hits: int64(n)}, "LEARNED_SPAM": {Hits: int64(n)},
			"TRUE": {Hits: int64(n)}, "FAILS": {Failed: int64(n)}, "ALLOWED": {},
		}
		for _, r := range e.Rules() {
			w, ok := want[r.Name]
			if ok && (r.Hits != w.Hits || r.Failed != w.Failed) {
				t.Errorf("after %d messages %s has %d hits and failed %d times, want %d and %d", n, r.Name, r.Hits, r.Failed, w.Hits, w.Failed)
			}
			delete(want, r.Name)
		}
		if len(want) > 0 {
			t.Errorf("not told: %v", want)
		}
	}
}
