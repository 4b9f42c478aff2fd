package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/verdict"
)

var now = time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)

// testRing has the keys with those ids; equal ids are equal keys.
func testRing(t testing.TB, ids ...string) *Ring {
	t.Helper()
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(id + " " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(id[:1]), minKey)) + "\n")
	}
	r, err := parseKeys([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	testHeader = "Received: from x by y; z\r\nFrom: Ann <ann@example.net>\r\nTo: bob@example.org\r\nDate: Fri, 20 Nov 2026 06:52:00 +0000\r\nMessage-ID: <1@example.net>\r\nSubject: hello to you\r\n"
	testBody   = "Hello Bob,\r\n\r\nthis is  it.\r\n-- \r\nAnn\r\n"
	testMail   = testHeader + "\r\n" + testBody
)

var testRow = Row{
	QueueID: "4f1TpR0sBz", Arrived: now.Add(-time.Minute), Score: 7.25, Verdict: verdict.Mark,
	ByRcpt: map[string]verdict.Verdict{"bob@example.org": verdict.Accept, "Eve@example.org": verdict.Reject, "carol@example.org": verdict.Accept},
}

func sumOf(msg string) func() (Sum, error) {
	return func() (Sum, error) { return Read(strings.NewReader(msg)) }
}

func seal(t testing.TB, ring *Ring, row Row, msg string) string {
	t.Helper()
	s, err := Read(strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	f, err := ring.Make(row, s)
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != Field {
		t.Fatalf("made %q", f.Name)
	}
	return f.Value
}

func TestMakeAndOpen(t *testing.T) {
	value := seal(t, testRing(t, "a"), testRow, testMail)
	if strings.Contains(value, "bob") || strings.Contains(value, "example") {
		t.Errorf("a recipient is readable in %q", value)
	}
	got, err := testRing(t, "b", "a").Open(value, now, sumOf(testMail))
	if err != nil {
		t.Fatal(err)
	}
	if got.KeyID != "a" || got.QueueID != testRow.QueueID || got.Score != 7.25 || got.Verdict != verdict.Mark || !got.Arrived.Equal(testRow.Arrived) {
		t.Errorf("opened %+v", got)
	}
	for rcpt, want := range map[string]verdict.Verdict{
		"bob@example.org": verdict.Accept, "BOB@Example.org": verdict.Accept, "eve@example.org": verdict.Reject,
		"carol@example.org": verdict.Accept, "dan@example.org": verdict.Mark, "": verdict.Mark,
	} {
		if v := got.For(rcpt); v != want {
			t.Errorf("For(%q) = %v, want %v", rcpt, v, want)
		}
	}
	other := seal(t, testRing(t, "a"), testRow, strings.Replace(testMail, "Hello", "Hallo", 1))
	_, hashes, _ := strings.Cut(withoutBlanks(other), "accept=")
	if strings.Contains(withoutBlanks(value), hashes[:16]) {
		t.Error("a recipient has the same hash in two messages")
	}
}

// TestOnTheWay: what Postfix, or an MTA between, does to a message leaves the
// field good.
func TestOnTheWay(t *testing.T) {
	long := strings.Repeat("word", 400)
	withLong := strings.Replace(testMail, "this is  it.", long, 1)
	for _, tc := range []struct {
		name, sent, came string
	}{
		{"as it was", testMail, testMail},
		{"fields on top", testMail, "Return-Path: <x@y>\r\nReceived: a\r\n\tb; c\r\n" + testMail},
		{"other fields changed", testMail, strings.Replace(testMail, "To: bob", "To: robert", 1)},
		{"folded anew", testMail, strings.Replace(testMail, "hello to you", "hello\r\n to\r\n\tyou ", 1)},
		{"names spelled another way", testMail, strings.Replace(strings.Replace(testMail, "Message-ID:", "message-id :", 1), "From: ", "FROM:", 1)},
		{"LF", testMail, strings.ReplaceAll(testMail, "\r\n", "\n")},
		{"empty lines at the end", testMail, testMail + "\r\n\r\n"},
		{"no line end at the end", testMail, strings.TrimSuffix(testMail, "\r\n")},
		{"a long line broken", withLong, strings.Replace(withLong, long, long[:998]+"\r\n "+long[998:], 1)},
		{"a long Subject broken", strings.Replace(testMail, "hello", long, 1), strings.Replace(testMail, "hello", long[:901]+"\r\n "+long[901:], 1)},
		{"a Subject that was cut", strings.Replace(testMail, "hello", strings.Repeat(long, 8), 1), strings.Replace(testMail, "hello", long, 1)},
		{"a Subject that a milter sees cut", strings.Replace(testMail, "hello to you", "hello", 1), strings.Replace(testMail, "hello to you", "hello\x00to\r\n you\x00", 1)},
		{"Date and Message-ID were added", "From: a@b\r\nSubject: x\r\n\r\nx\r\n", "From: a@b\r\nSubject: x\r\nMessage-Id: <1@x>\r\nDate: now\r\n\r\nx\r\n"},
		{"no body", testHeader, testHeader + "\r\n"},
		{"a name of 400", "X-" + strings.Repeat("n", 400) + ": x\r\n" + testMail, "X-" + strings.Repeat("n", 400) + ": x\r\n" + testMail},
	} {
		value := seal(t, testRing(t, "a"), testRow, tc.sent)
		if _, err := testRing(t, "a").Open(value, now, sumOf(tc.came)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestAttacks(t *testing.T) {
	ring := testRing(t, "a")
	value := seal(t, ring, testRow, testMail)
	swap := func(old, new string) string {
		if s := strings.Replace(withoutBlanks(value), old, new, 1); s != withoutBlanks(value) {
			return s
		}
		t.Fatalf("%q is not in %q", old, value)
		return ""
	}
	hash := func() string { _, h, _ := strings.Cut(withoutBlanks(value), "accept="); return h[:16] }()
	for _, tc := range []struct {
		name, value, msg string
		at               time.Time
		want             error
	}{
		{"another body", value, strings.Replace(testMail, "Hello", "Hallo", 1), now, ErrForged},
		{"a longer body", value, testMail + "Buy!\r\n", now, ErrForged},
		{"a shorter body", value, strings.Replace(testMail, "Ann\r\n", "\r\n", 1), now, ErrForged},
		{"no body", value, testHeader, now, ErrForged},
		{"another From", value, strings.Replace(testMail, "ann@", "eve@", 1), now, ErrForged},
		{"a second From", value, "From: eve@example.net\r\n" + testMail, now, ErrForged},
		{"another Date", value, strings.Replace(testMail, "06:52", "06:53", 1), now, ErrForged},
		{"another Message-ID", value, strings.Replace(testMail, "<1@", "<2@", 1), now, ErrForged},
		{"another Subject", value, strings.Replace(testMail, "hello", "Viagra", 1), now, ErrForged},
		{"no Subject", value, strings.Replace(testMail, "Subject:", "X-Subject:", 1), now, ErrForged},
		{"a second Subject", value, "subject: Viagra\r\n" + testMail, now, ErrForged},
		{"fields exchanged", value, strings.Replace(strings.Replace(testMail, "Date:", "X:", 1), "Subject:", "Date:", 1), now, ErrForged},
		{"a body within the header", value, testHeader + "Viagra\r\n\r\n" + testBody, now, ErrForged},
		{"white space on top", value, " Viagra\r\n" + testMail, now, ErrForged},
		{"another queue id", swap("q=4f1", "q=5f1"), testMail, now, ErrForged},
		{"another time", swap("t=179515", "t=179514"), testMail, now, ErrForged},
		{"another score", swap("s=7.25", "s=-7.25"), testMail, now, ErrForged},
		{"another verdict", swap("d=mark", "d=accept"), testMail, now, ErrForged},
		{"bound to less", swap("date:message-id:subject", "subject"), testMail, now, ErrForged},
		{"bound to nothing", swap("h=from:date:message-id:subject", "h="), testMail, now, ErrForged},
		{"another recipient", swap(hash, strings.Repeat("A", 16)), testMail, now, ErrForged},
		{"a recipient's other verdict", swap("reject=", "quarantine="), testMail, now, ErrForged},
		{"a recipient's hash as score", swap("accept="+hash+",", "accept="), testMail, now, ErrForged},
		{"no hash", value[:strings.LastIndex(value, "b=")] + "b=" + strings.Repeat("A", 43), testMail, now, ErrForged},
		{"an unknown key", swap("k=a", "k=zz"), testMail, now, ErrUnknownKey},
		{"a key of the same id", seal(t, &Ring{[]key{{"a", testRing(t, "b").keys[0].secret}}}, testRow, testMail), testMail, now, ErrForged},
		{"at its last minute", value, testMail, testRow.Arrived.Add(Kept), nil},
		{"expired", value, testMail, testRow.Arrived.Add(Kept + time.Second), ErrExpired},
		{"a clock that is behind", value, testMail, testRow.Arrived.Add(-clocks), nil},
		{"of the future", value, testMail, testRow.Arrived.Add(-clocks - time.Second), ErrExpired},
		{"another version", swap("v=1", "v=2"), testMail, now, ErrMalformed},
		{"empty", "", testMail, now, ErrMalformed},
		{"a word", "accept", testMail, now, ErrMalformed},
		{"something behind", value + ";", testMail, now, ErrMalformed},
		{"a tag twice", swap("d=mark;", "d=mark;d=mark;"), testMail, now, ErrMalformed},
		{"another order", swap("s=7.25;d=mark;", "d=mark;s=7.25;"), testMail, now, ErrMalformed},
		{"a number written another way", swap("s=7.25", "s=7.250"), testMail, now, ErrMalformed},
		{"no number", swap("s=7.25", "s=NaN"), testMail, now, ErrMalformed},
		{"a field that is not bound", swap("h=from", "h=to:from"), testMail, now, ErrMalformed},
		{"too long", strings.Repeat(" ", maxField) + value, testMail, now, ErrMalformed},
	} {
		_, err := ring.Open(tc.value, tc.at, sumOf(tc.msg))
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: Open = %v, want %v", tc.name, err, tc.want)
		}
	}
	broken := errors.New("disk")
	if _, err := ring.Open(value, now, func() (Sum, error) { return Sum{}, broken }); !errors.Is(err, broken) {
		t.Errorf("message that cannot be read: %v", err)
	}
	_, _ = ring.Open(swap("k=a", "k=zz"), now, func() (Sum, error) { t.Error("the message was read for an unknown key"); return Sum{}, nil })
}

func TestMakeRefuses(t *testing.T) {
	good, err := Read(strings.NewReader(testMail))
	if err != nil {
		t.Fatal(err)
	}
	long, err := Read(strings.NewReader("X-" + strings.Repeat("n", 1500) + ": x\r\n" + testMail))
	if err != nil || !long.odd {
		t.Errorf("a name that Postfix breaks: %+v, %v", long, err)
	}
	odd, err := Read(strings.NewReader("Subject: x\r\nno field\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		edit func(*Row)
		sum  Sum
	}{
		"queue id":      {func(r *Row) { r.QueueID = "a b" }, good},
		"long queue id": {func(r *Row) { r.QueueID = strings.Repeat("a", 65) }, good},
		"score":         {func(r *Row) { r.Score = 1e300 }, good},
		"verdict":       {func(r *Row) { r.Verdict = 9 }, good},
		"its verdict":   {func(r *Row) { r.ByRcpt = map[string]verdict.Verdict{"x": -1} }, good},
		"header":        {func(*Row) {}, odd},
	} {
		r := testRow
		tc.edit(&r)
		if f, err := testRing(t, "a").Make(r, tc.sum); err == nil {
			t.Errorf("%s: made %q", name, f.Value)
		}
	}
}

// TestManyRecipients: the most there can be fits into a field, and what is above
// goes by the verdict for others.
func TestManyRecipients(t *testing.T) {
	r := testRow
	r.ByRcpt = map[string]verdict.Verdict{}
	for i := range MaxRcpts + 1 {
		r.ByRcpt[fmt.Sprintf("%05d@example.org", i)] = verdict.Accept
	}
	value := seal(t, testRing(t, "a"), r, testMail)
	if len(value) > header.MaxValue {
		t.Errorf("%d octets", len(value))
	}
	got, err := testRing(t, "a").Open(strings.ReplaceAll(value, "\n", "\r\n\t"), now, sumOf(testMail))
	if err != nil {
		t.Fatal(err)
	}
	if got.For("00000@example.org") != verdict.Accept || got.For("01999@example.org") != verdict.Accept || got.For("02000@example.org") != verdict.Mark {
		t.Error("verdicts got lost")
	}
}

func TestStrip(t *testing.T) {
	const field = Field + ": v=1;\r\n b=x\r\n"
	for _, tc := range []struct {
		name, msg, want string
	}{
		{"none", testMail, testMail},
		{"one", field + testMail, testMail},
		{"last", testHeader + field + "\r\n" + testBody, testMail},
		{"several, oddly written", "x-gatepost-VERDICT\t :a\r\n\tb\r\n" + testHeader + "X-GATEPOST-Verdict:\r\n" + field + "\r\n" + testBody, testMail},
		{"a name that is folded", Field + "\r\n : x\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
		{"LF", "A: b\n" + Field + ": x\n y\nC: d\n\n" + testBody, "A: b\nC: d\n\n" + testBody},
		{"other names", Field + "s: x\r\nX-" + Field + ": y\r\nX-Gatepost: z\r\n\r\n", Field + "s: x\r\nX-" + Field + ": y\r\nX-Gatepost: z\r\n\r\n"},
		{"in another field", "Subject: x\r\n " + field + "\r\n", "Subject: x\r\n " + Field + ": v=1;\r\n b=x\r\n\r\n"},
		{"in the body", "A: b\r\n\r\n" + field, "A: b\r\n\r\n" + field},
		{"behind a line that is no field", "A: b\r\nno field\r\n" + field + "\r\nx", "A: b\r\nno field\r\n\r\nx"},
		{"header only", "A: b\r\n" + field, "A: b\r\n"},
		{"nothing else", field, ""},
		{"cut", "A: b\r\n" + Field + ": x", "A: b\r\n"},
		{"empty", "", ""},
		{"long lines", "A: " + strings.Repeat("x", 9000) + "\r\n" + Field + ": " + strings.Repeat("y", 9000) + "\r\n " + strings.Repeat("z", 9000) + "\r\nB: c\r\n\r\nx", "A: " + strings.Repeat("x", 9000) + "\r\nB: c\r\n\r\nx"},
	} {
		if got := stripped(t, tc.msg); got != tc.want {
			t.Errorf("%s: Strip = %q, want %q", tc.name, got, tc.want)
		}
		if clean := Clean([]byte(tc.msg)); clean && tc.msg != tc.want {
			t.Errorf("%s: Clean = true", tc.name)
		}
	}
	if !Clean([]byte(testMail)) || Clean([]byte(testHeader)) {
		t.Error("Clean does not know a whole header")
	}
}

// stripped strips msg by Read and by WriteTo, which have to agree.
func stripped(t testing.TB, msg string) string {
	t.Helper()
	var one, two bytes.Buffer
	if _, err := two.ReadFrom(Strip(strings.NewReader(msg))); err != nil {
		t.Fatal(err)
	}
	n, err := Strip(strings.NewReader(msg)).(*stripper).WriteTo(&one)
	if err != nil || n != int64(one.Len()) || one.String() != two.String() {
		t.Fatalf("WriteTo = %d, %v and %q, Read gives %q", n, err, one.String(), two.String())
	}
	return one.String()
}

func TestReadFile(t *testing.T) {
	k := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	l := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("l"), 32))
	for _, tc := range []struct {
		name, content string
		mode          os.FileMode
		want          []string
		fault         string
	}{
		{"one", "2026a " + k + "\n", 0o600, []string{"2026a"}, ""},
		{"two, and words", "# new\n\n 2026b\t" + l + " \r\n2026a " + k, 0o640, []string{"2026b", "2026a"}, ""},
		{"readable by others", "a " + k + "\n", 0o644, nil, "mode 0644"},
		{"written by the group", "a " + k + "\n", 0o660, nil, "mode 0660"},
		{"empty", "# none\n", 0o600, nil, "no key"},
		{"no id", k + "\n", 0o600, nil, "line 1 is not an id"},
		{"an id that is none", "a;b " + k + "\n", 0o600, nil, "line 1 is not an id"},
		{"no base64", "a " + k + "\nb x*\n", 0o600, nil, "key of line 2"},
		{"a short key", "a " + k[:40] + "\n", 0o600, nil, "key of line 1"},
		{"an id twice", "a " + k + "\na " + l + "\n", 0o600, nil, "line 2 has the id"},
		{"too many", strings.Join(slices.Collect(func(yield func(string) bool) {
			for i := range maxKeys + 1 {
				if !yield(fmt.Sprint("k", i, " ", k)) {
					return
				}
			}
		}), "\n"), 0o600, nil, "more than 8"},
	} {
		path := filepath.Join(t.TempDir(), "verdict.keys")
		if err := os.WriteFile(path, []byte(tc.content), tc.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		r, err := ReadFile(path)
		if err != nil {
			if tc.fault == "" || !strings.Contains(err.Error(), tc.fault) || strings.Contains(err.Error(), k[:20]) {
				t.Errorf("%s: %v, want %q", tc.name, err, tc.fault)
			}
			continue
		}
		var ids []string
		for _, k := range r.keys {
			ids = append(ids, k.id)
		}
		if !slices.Equal(ids, tc.want) {
			t.Errorf("%s: ids %q", tc.name, ids)
		}
		if s := fmt.Sprintf("%v %+v %#v", r, r, *r); strings.Contains(s, "kkkk") || strings.Contains(s, "107 107") || strings.Contains(s, "0x6b, 0x6b") {
			t.Errorf("%s: a key is printed: %s", tc.name, s)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestLive(t *testing.T) {
	var none *Live
	var l Live
	if none.On() || l.On() {
		t.Error("keys out of nothing")
	}
	if _, err := l.Open("", now, sumOf("")); !errors.Is(err, ErrOff) {
		t.Error(err)
	}
	if _, err := l.Make(testRow, Sum{}); !errors.Is(err, ErrOff) {
		t.Error(err)
	}
	l.Set(testRing(t, "a"))
	s, _ := sumOf(testMail)()
	f, err := l.Make(testRow, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Open(f.Value, now, sumOf(testMail)); err != nil || !l.On() {
		t.Error(err)
	}
}

// FuzzParse: what is read is written the same, and nothing else is taken for
// white space than white space.
func FuzzParse(f *testing.F) {
	f.Add(seal(f, testRing(f, "a"), testRow, testMail))
	f.Add(seal(f, testRing(f, "a"), Row{Arrived: now}, "\r\n"))
	f.Add("v=1;k=a;q=;t=0;s=0.00;d=accept;h=;mark=AAAAAAAAAAAAAAAA;b=" + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, value string) {
		got, signed, mac, err := parse(value)
		if err != nil {
			return // refused is fine, a panic is not
		}
		text := got.text()
		again, signed2, mac2, err := parse(text + "b=" + base64.RawURLEncoding.EncodeToString(mac))
		if err != nil || !slices.Equal(mac, mac2) || !maps.Equal(got.rcpts, again.rcpts) || !slices.Equal(got.fields, again.fields) {
			t.Fatalf("parse(%q) = %+v, %v, was %+v", text, again, err, got)
		}
		if len(got.rcpts) < 2 && signed != signed2 {
			t.Fatalf("signed %q, written again %q", signed, signed2)
		}
		got.rcpts, again.rcpts, got.fields, again.fields = nil, nil, nil, nil
		if fmt.Sprint(got) != fmt.Sprint(again) {
			t.Fatalf("parse(%q) = %+v, was %+v", text, again, got)
		}
	})
}

// FuzzMessage: no message, however it is cut into lines, has the field after
// Strip, and what Strip leaves has the same Sum.
func FuzzMessage(f *testing.F) {
	f.Add(testMail)
	f.Add(Field + " : x\r\n y\r\n" + testMail)
	f.Add("From: a\r\n" + strings.Repeat("x", 5000) + ": b\n" + Field + ":\n\nbody")
	f.Fuzz(func(t *testing.T, msg string) {
		out := stripped(t, msg)
		l := newLines(strings.NewReader(out))
		for {
			p, what, err := l.next()
			if err != nil || what == ends {
				break
			}
			if what == begins && named(p, Field) {
				t.Fatalf("Strip(%q) = %q", msg, out)
			}
		}
		if Clean([]byte(msg)) && out != msg {
			t.Fatalf("Strip changed the clean %q to %q", msg, out)
		}
		one, err := Read(strings.NewReader(msg))
		if err != nil {
			t.Fatal(err)
		}
		two, err := Read(strings.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if one.odd = two.odd; one != two { // the field itself may have been odd
			t.Fatalf("Read(%q) is not Read(%q)", msg, out)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	msg := []byte(testMail + strings.Repeat("A line of a body as it is sent every day.\r\n", 25000))
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(bytes.NewReader(msg)); err != nil {
			b.Fatal(err)
		}
	}
}
