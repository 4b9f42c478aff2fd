package quarantine

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// FuzzReadHead: no file makes the reader panic or reach outside of the message,
// and what can be read is read back the same.
func FuzzReadHead(f *testing.F) {
	e := entry(arrived)
	e.Edits = Edits{AuthResults: "mx; none", Cut: []Span{{0, 5}, {7, 9}}}
	good, err := appendHead(nil, &e)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(good) + message, magic + "2\n{}", magic + "9223372036854775807\n{", magic + "02\n{}", magic + "4\n{}\r\nx", "",
		magic + "65\n" + `{"arrived":"2026-11-20T06:55:35Z","size":9,"edits":{"cut":[{"start":8,"end":3}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, at, err := readHead(bytes.NewReader(b))
		if err != nil {
			return // refused is fine, a panic is not
		}
		if at > int64(len(b)) {
			t.Fatalf("the message begins at %d of %d bytes", at, len(b))
		}
		if len(e.Edits.Cut) > 0 && e.Edits.Cut[len(e.Edits.Cut)-1].End > e.Size {
			t.Fatalf("cut %v of %d bytes", e.Edits.Cut, e.Size)
		}
		head, err := appendHead(nil, &e)
		if err != nil {
			t.Fatalf("appendHead(%+v): %v", e, err)
		}
		again, n, err := readHead(bytes.NewReader(append(head, "rest"...)))
		if err != nil || n != int64(len(head)) || !again.Arrived.Equal(e.Arrived) {
			t.Fatalf("readHead(appendHead(%+v)) = %+v, %d, %v", e, again, n, err)
		}
		again.Arrived = e.Arrived
		if !reflect.DeepEqual(again, e) {
			t.Errorf("readHead(appendHead(%+v)) = %+v", e, again)
		}
	})
}

// FuzzParseName: a name that is read leads nowhere but into its day, and is the
// name that is written.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"20261120-065535-k3f9x2.4XyZ1b2c3dzABC.quarantine", "20261120-065535-k3f9x2.none.discard",
		"20261120-065535-k3f9x2..quarantine", "20261120-065535-k3f9x2.a/b.discard", "../../../../x-065535-k3f9.a.quarantine", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseName(s)
		if !ok {
			return
		}
		if n.String() != s || strings.ContainsAny(s, "/\x00") || !ValidID(n.id) {
			t.Errorf("parseName(%q) = %+v", s, n)
		}
	})
}
