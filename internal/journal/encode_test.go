package journal

import (
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
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

// sameAsJSON wants appendRecord to say what encoding/json says of the clean
// record.
func sameAsJSON(t *testing.T, r Record) {
	t.Helper()
	b := appendRecord(nil, &r, r.keys())
	standard, err := json.Marshal(r.clean())
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
		sameAsJSON(t, s.Record)
	}
}

// Each text is cut, and made printable, as clean does.
func TestAppendRecordCuts(t *testing.T) {
	for _, text := range []string{
		"", "x", " ", "<a@b>", "<>", "\x00", "\"", "\\", "1234567\"", "12345678\\", "Grüße, Grüße", "\xff", "\u202e",
		strings.Repeat("x", maxKeyBytes), strings.Repeat("x", maxKeyBytes+1),
		strings.Repeat("\"", maxNameBytes), strings.Repeat("x", maxNameBytes+1),
		strings.Repeat("\\x", maxOptionBytes/2), strings.Repeat("x", maxOptionBytes+1),
		strings.Repeat("x", MaxTextBytes), strings.Repeat("x", MaxTextBytes+1), strings.Repeat("\x00", MaxTextBytes),
		strings.Repeat("ü", MaxTextBytes/2) + "\"",
	} {
		r := full()
		for _, s := range r.texts() {
			*s = text
		}
		r.ClientAddr = netip.MustParseAddr("fe80::1%eth0")
		r.RcptTo = []string{text, text}
		r.Lines = []verdict.Line{{Name: text, Group: text, Text: text, Options: slices.Repeat([]string{text}, maxOptions+1)}}
		r.Facts = []Fact{{text, text}}
		sameAsJSON(t, r)
		r.ClientAddr = netip.MustParseAddr("::ffff:192.0.2.1")
		sameAsJSON(t, r)
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
		sameAsJSON(t, r)
	})
}
