package classify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/rawmsg/hostile"
)

// of returns the features of raw.
func of(raw string) *Features {
	var f Features
	m := rawmsg.Scan([]byte(raw), rawmsg.Default())
	f.Extract(m, message.Decode(m))
	return &f
}

const plain = "Received: from a.example (a.example [192.0.2.1]) by b.example; Mon, 1 Jan 2024 00:00:00 +0000\n" +
	"From: Ann <ann@example.org>\nTo: bob@example.net\nSubject: Lunch\n on Friday\n\nShall we meet at noon?\n\nAnn\n"

func TestSameFeatures(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"line ends", plain, strings.ReplaceAll(plain, "\n", "\r\n"), true},
		{"mbox line", plain, "From ann@example.org Mon Jan  1 00:00:00 2024\n" + plain, true},
		{"our verdict", plain, "X-Spam: Yes\nX-Gatepost-Score: 7\n" + plain, true},
		{"results of authentication", plain, "Authentication-Results: b.example; spf=pass\nARC-Seal: i=1; b=abc\n" + plain, true},
		{"another filter's verdict", plain, "X-Spam-Status: Yes, score=9\nX-Bogosity: Spam\n" + plain, true},
		{"signature", "DKIM-Signature: v=1; d=example.org; b=abc\n" + plain, "DKIM-Signature: v=1; d=example.org; b=def\n" + plain, true},
		{"signer", "DKIM-Signature: v=1; d=example.org; b=abc\n" + plain, "DKIM-Signature: v=1; d=example.com; b=abc\n" + plain, false},
		{"encoding of the subject", plain, strings.Replace(plain, "Lunch\n on Friday", "=?utf-8?q?Lunch_on_Friday?=", 1), true},
		{"another word", plain, strings.Replace(plain, "noon", "night", 1), false},
		{"another order of fields", "A: 1\nB: 2\n\n", "B: 2\nA: 1\n\n", false},
		{"far behind", plain + strings.Repeat("word ", 5000), plain + strings.Repeat("word ", 5000) + "money", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := of(tt.a).Equal(of(tt.b)); got != tt.same {
				t.Errorf("Equal = %v, want %v", got, tt.same)
			}
		})
	}
}

func TestSigner(t *testing.T) {
	for in, want := range map[string]string{
		" v=1; a=rsa-sha256; d=example.org; s=x": "example.org",
		"d=a.example":                            "a.example",
		"v=1;\r\n\td=a.example;":                 "a.example",
		" v=1; bh=d=;":                           "",
		"":                                       "",
	} {
		if got := string(signer([]byte(in))); got != want {
			t.Errorf("signer(%q) = %q, want %q", in, got, want)
		}
	}
}

// A reused Features is as good as a new one, and needs no memory.
func TestReuse(t *testing.T) {
	small := of(plain)
	m := rawmsg.Scan(hostile.Sample(36<<10), rawmsg.Default())
	text := message.Decode(m)
	var f Features
	f.Extract(m, text)
	if n := testing.AllocsPerRun(20, func() { f.Extract(m, text) }); n > 10 {
		t.Errorf("Extract allocates %.0f times", n)
	}
	p := rawmsg.Scan([]byte(plain), rawmsg.Default())
	f.Extract(p, message.Decode(p))
	if !f.Equal(small) {
		t.Error("features of an earlier message are left over")
	}
}

// What a message can make of features is bounded, and cheap to find.
func TestBounds(t *testing.T) {
	for name, raw := range map[string]string{
		"words":   "Subject: x\n\n" + strings.Repeat("a1 b2 c3 ", 100_000),
		"one":     "Subject: x\n\n" + strings.Repeat("a", 1<<20),
		"fields":  strings.Repeat("A: b c d e f g\n", 20_000) + "\n",
		"field":   "A: " + strings.Repeat("b ", 200_000) + "\n\n",
		"tags":    "Content-Type: text/html\n\n" + strings.Repeat("<a b=c d=e>", 50_000),
		"open":    "Content-Type: text/html\n\n" + strings.Repeat("<", 500_000),
		"links":   "\n" + strings.Repeat("http://a.b.c.d.e.f.g.example/x/y/z ", 20_000),
		"parts":   "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: a/b\n\n", 5000),
		"hosts":   "\nhttp://" + strings.Repeat("a.", 100_000),
		"letters": "\n" + strings.Repeat("\u4e00\u4e8c ", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			f := of(raw)
			b, err := f.AppendBinary(nil)
			if err != nil || f.Len() > 30_000 || len(b) > 90_000 {
				t.Errorf("%d features in %d bytes, %v", f.Len(), len(b), err)
			}
			var g Features
			if err := g.UnmarshalBinary(b); err != nil || !g.Equal(f) {
				t.Errorf("UnmarshalBinary: %v", err)
			}
		})
	}
}

func FuzzFeatures(f *testing.F) {
	for _, s := range []string{"", plain, "\n\xff\xfe", "Content-Type: text/html\n\n<a href=http://x.example/>y</a>"} {
		b, _ := of(s).AppendBinary(nil)
		f.Add(b)
	}
	f.Add([]byte{featuresVersion, 255, 255, 3, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a, again Features
		if a.UnmarshalBinary(b) != nil {
			if a.Len() > 0 {
				t.Fatal("features after an error")
			}
			return
		}

		wire, err := a.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalBinary(wire); err != nil || !again.Equal(&a) {
			t.Fatalf("UnmarshalBinary(AppendBinary) of %x: %v", b, err)
		}
	})
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte("Content-Type: text/html\n\n<a \xc3(\x80 href=//>"))
	var a Features
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := rawmsg.Scan(raw, rawmsg.Default())
		text := message.Decode(m)
		a.Extract(m, text)
		var b Features
		b.Extract(m, text)
		if !a.Equal(&b) {
			t.Fatal("a used Features gives other features than a new one")
		}
		wire, err := a.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.UnmarshalBinary(wire); err != nil || !b.Equal(&a) {
			t.Fatalf("round trip: %v", err)
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	for _, kb := range []int{4, 36, 4096, 20480} {
		raw := hostile.Sample(kb << 10)
		b.Run(fmt.Sprintf("%dKB", kb), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			m := rawmsg.Scan(raw, rawmsg.Default())
			text := message.Decode(m)
			var f Features
			for b.Loop() {
				f.Extract(m, text)
			}
		})
	}
}

// TestFillerLeavesRoom: the part of an alternative that no reader shows does not
// use up what is looked at of the other.
func TestFillerLeavesRoom(t *testing.T) {
	var filler, spam strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&filler, "word%d ", i*7919)
	}
	for i := range 300 {
		fmt.Fprintf(&spam, "pill%d ", i*104729)
	}
	html := "Content-Type: text/html\r\n\r\n<p>" + spam.String() + "\r\n"
	both := "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n" + filler.String() + "\r\n--b\r\n" + html + "--b--\r\n"
	a, b := of(html), of(both)
	for _, v := range []int{viewText, viewWords} {
		shared := 0
		for _, x := range a.sets[v] {
			if _, ok := slices.BinarySearch(b.sets[v], x); ok {
				shared++
			}
		}
		if 3*shared < len(a.sets[v]) {
			t.Errorf("view %d: %d of %d features", v, shared, len(a.sets[v]))
		}
	}
}
