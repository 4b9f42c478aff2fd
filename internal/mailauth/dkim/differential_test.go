package dkim

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	library "github.com/emersion/go-msgauth/dkim"
)

// shapes are headers and bodies of every kind that mail comes in.
var shapes = map[string][2]string{
	"plain":           {testHeader, body0},
	"empty body":      {testHeader, ""},
	"one empty line":  {testHeader, "\r\n"},
	"no final CRLF":   {testHeader, "a"},
	"trailing lines":  {testHeader, "a\r\n\r\n\r\n\r\n"},
	"trailing blanks": {testHeader, "a \r\nb\t\r\n \t\r\n"},
	"8 bit":           {strings.Replace(testHeader, "a  subject", "Grüße", 1), "Grüße\r\n\xff\xfe\r\n"},
	"long lines":      {testHeader, strings.Repeat("word ", 5000) + "\r\n"},
	"dots":            {testHeader, ".\r\n..\r\n. \r\n"},
	"folded":          {strings.Replace(testHeader, "To: Bob", "To:\r\n\tBob\r\n \t", 1), body0},
	"many of a name":  {"Received: a\r\nReceived: b\r\nSubject: one\r\n" + testHeader + "Subject: two\r\n", body0},
	"odd names":       {strings.Replace(testHeader, "Date:", "DATE :", 1) + "X-Empty:\r\n", body0},
	"large":           {testHeader, string(prose(300 << 10))},
}

// What the library signs passes here, and what is changed after that passes in
// both or in neither.
func TestDifferential(t *testing.T) {
	canons := []library.Canonicalization{library.CanonicalizationSimple, library.CanonicalizationRelaxed}
	checked := 0
	for name, shape := range shapes {
		for _, alg := range []string{"rsa", "ed25519"} {
			for _, hc := range canons {
				for _, bc := range canons {
					msg := signed(t, shape[0], []byte(shape[1]), testKey(t, alg), func(o *library.SignOptions) {
						o.HeaderCanonicalization, o.BodyCanonicalization = hc, bc
						o.HeaderKeys = []string{"From", "To", "Subject", "Subject", "Date", "Received", "X-None", "From"}
					})
					for i, m := range variants(msg) {
						ours := verifyAt(t, zone, m, time.Now())[0]
						theirs := theirVerdict(t, m)
						checked++
						if (ours.Result == "pass") != theirs || i == 0 && !theirs {
							t.Errorf("%s, %s, %s/%s, variant %d: ours %s (%s), theirs pass = %v", name, alg, hc, bc, i, ours.Result, ours.Reason, theirs)
						}
					}
				}
			}
		}
	}
	t.Logf("%d messages compared", checked)
}

// variants returns msg as it is, and changed in places that matter or not.
func variants(msg []byte) [][]byte {
	at := bytes.Index(msg, []byte("\r\n\r\n"))
	insert := func(i int, s string) []byte { return slices.Concat(msg[:i], []byte(s), msg[i:]) }
	out := [][]byte{msg, insert(len(msg), "x"), insert(len(msg), "\r\n\r\n"), insert(len(msg), " \r\n"), insert(at+4, "\r\n"), insert(at, "\r\nFrom: eve@example.com")}
	for _, name := range []string{"Subject:", "To:", "Date"} {
		if i := bytes.LastIndex(msg[:at], []byte("\r\n"+name)); i > 0 {
			out = append(out, insert(i+2+len(name), "  "), insert(i+2, "x"), insert(i+2+bytes.IndexByte(msg[i+2:], '\n')+1, "X-New: 1\r\n"))
		}
	}
	return out
}

func theirVerdict(t *testing.T, msg []byte) bool {
	t.Helper()
	vs, err := library.VerifyWithOptions(bytes.NewReader(msg), &library.VerifyOptions{LookupTXT: func(name string) ([]string, error) { return zone.txt[name], nil }})
	if err != nil || len(vs) != 1 {
		t.Logf("library: %v, %d signatures", err, len(vs))
		return false
	}
	return vs[0].Err == nil
}
