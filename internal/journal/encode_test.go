package journal

import (
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/verdict"
)

// full has a value in every field, so that none is forgotten.
func full() Record {
	return Record{
		Time: time.Date(2026, 10, 9, 12, 0, 0, 123456789, time.FixedZone("", 2*3600)), Daemon: "milter", Event: "message",
		QueueID: "4cBq0Z1jX9z", MessageID: `a"b\c@example.net`, Session: "7a2a.1", Service: "milter",
		ClientAddr: netip.MustParseAddr("2001:db8::9"), ClientPort: 40001, ClientName: "mx.example.net", Helo: "Grüße <&>",
		User: "u@example.org", Mech: "PLAIN", MailFrom: "s@example.net", RcptTo: []string{"a@example.org", "b\"@example.org"},
		Verdict: "reject", Rule: "x", Reply: "550 5.7.1 no", Score: 1e21,
		Lines: []verdict.Line{
			{Name: "A", Group: "header", Score: -0.25, Text: "why", Options: []string{"x", "y"}},
			{Name: "B"},
		},
		Facts: []Fact{{"k", "v"}, {"", ""}}, Took: 1234567,
	}
}

func TestFullHasEveryField(t *testing.T) {
	for _, v := range []any{full(), full().Lines[0], full().Facts[0]} {
		for f, value := range reflect.ValueOf(v).Fields() {
			if value.IsZero() {
				t.Errorf("%T has no %s", v, f.Name)
			}
		}
	}
}

// sameAsJSON wants appendRecord to say what encoding/json says.
func sameAsJSON(t *testing.T, r Record) {
	t.Helper()
	b := appendRecord(nil, &r)
	standard, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got, want Record
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if err := json.Unmarshal(standard, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("appendRecord() = %s\nwant as %s", b, standard)
	}
}

func TestAppendRecord(t *testing.T) {
	sameAsJSON(t, full())
	sameAsJSON(t, Record{})
	for _, s := range inbound().Steps {
		sameAsJSON(t, s.clean())
	}
}

func FuzzAppendRecord(f *testing.F) {
	f.Add("Q1", "<a@b>", "helo", "plain", 1.5)
	f.Add("\"", `\`, "\xff\x00\x1b[2J", "\u202e\u2028\ufffd\U0001f600", math.MaxFloat64)
	f.Add("", "", "", "", math.Copysign(0, -1))
	f.Fuzz(func(t *testing.T, id, mid, helo, text string, score float64) {
		if math.IsNaN(score) || math.IsInf(score, 0) {
			score = 0
		}
		r := Record{
			Time: noon, QueueID: id, MessageID: mid, Helo: helo, RcptTo: []string{text}, Score: score,
			Lines: []verdict.Line{{Name: text, Score: score, Text: helo, Options: []string{id}}}, Facts: []Fact{{mid, text}},
		}
		sameAsJSON(t, r.clean())
	})
}
