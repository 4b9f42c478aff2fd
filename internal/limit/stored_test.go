package limit

import (
	"context"
	"testing"
	"time"
)

// By hand goes before the account store, that before the configuration; a rate
// of the store is for limits that count by user.
func TestStoredRates(t *testing.T) {
	limits, err := Expand([]Limit{
		{Name: "a", Rate: Per(1, time.Hour), Overrides: []Override{
			{For: []string{"group:Staff"}, Rate: Per(2, time.Hour)}, {For: []string{"bob@example.org"}, Rate: Per(3, time.Hour)},
		}},
		{Name: "b", By: "sender", Rate: Per(1, time.Hour), Overrides: []Override{{For: []string{"group:staff"}, Rate: Per(9, time.Hour)}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := New(openStore(t, t.TempDir()))
	stored := []Stored{{"other", "50/1h"}, {"a", "1MB/1h"}, {"a", "nonsense"}, {"b", "40/1h"}, {"a", "30/1h"}, {"a", "20/1h"}}
	standing := func(_ context.Context, user string) ([]string, []Stored) {
		if user == "carol@example.org" {
			return []string{"staff"}, stored
		}
		return nil, nil
	}
	if err := l.Set(t.Context(), limits, ByHand{Limit: "a", Key: "erin@example.org", Rate: Per(70, time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		user   string
		groups []string
		stored []Stored
		want   int64
	}{
		{"alice@example.org", nil, nil, 1},
		{"alice@example.org", []string{"news", "staff"}, nil, 2},
		{"bob@example.org", nil, nil, 3},
		{"bob@example.org", []string{"staff"}, nil, 2},
		{"carol@example.org", []string{"staff"}, stored, 30},
		{"erin@example.org", []string{"staff"}, stored, 70},
	} {
		m := &Mail{Outbound: true, User: tc.user, Sender: tc.user, Recipients: 1, Groups: tc.groups, Stored: tc.stored}
		got := take(t, l, limits, m)
		if len(got) != 2 || got[0].Rate.Count != tc.want || got[1].Rate.Count != 1 {
			t.Errorf("Take() of %s in %v has %+v, want the rates %d and 1", tc.user, tc.groups, got, tc.want)
		}
	}
	all, err := l.Usage(t.Context(), limits, standing)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		if want := map[string]int64{"carol@example.org": 30, "erin@example.org": 70}[u.Key]; u.Limit == "a" && want != 0 && u.Of != want {
			t.Errorf("Usage() of %s is of %d, want %d", u.Key, u.Of, want)
		}
	}
	for _, bad := range []string{"group:", "group:two words", "group:@example.org"} {
		if _, err := Expand([]Limit{{Overrides: []Override{{For: []string{bad}}}}}, nil); err == nil {
			t.Errorf("Expand() takes %q", bad)
		}
	}
	if ValidMember("group:staff") == nil {
		t.Error("ValidMember() takes a group")
	}
}
