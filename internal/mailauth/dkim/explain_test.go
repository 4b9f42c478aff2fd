package dkim

import (
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

func TestExplain(t *testing.T) {
	long := strings.Repeat("x", 2500)
	german := "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
	replace := func(old, new string) func(string) string {
		return func(m string) string { return strings.Replace(m, old, new, 1) }
	}
	both := func(a, b func(string) string) func(string) string { return func(m string) string { return a(b(m)) } }
	more := func(text string) func(string) string { return func(m string) string { return m + text } }
	for _, tc := range []struct {
		name, canon, head, body string
		change                  func(msg string) string
		cause                   string
		lines                   int
	}{
		{"footer", "relaxed", "", body0, more("\r\n-- \r\nlist footer\r\n"), "text was added at the end", 3},
		{"footer, simple", "simple", "", body0, more("_____\r\nlist footer\r\n"), "text was added at the end", 2},
		{"footer on an empty body", "relaxed", "", "", more("footer\r\n"), "the body was empty", 1},
		{"footer on an empty body, simple", "simple", "", "", more("footer\r\n"), "the body was empty", 1},
		{"banner", "relaxed", "", body0, replace("Hi Bob", "[EXTERNAL]\r\n\r\nHi Bob"), "text was added at the top", 2},
		{"quoted-printable", "relaxed", german, "Grüße\r\n", both(replace("8bit", "quoted-printable"), replace("Grüße", "Gr=C3=BC=C3=9Fe")), "the body was encoded again", 0},
		{"base64", "relaxed", german, "Grüße\r\n", both(replace("8bit", "base64"), replace("Grüße", "R3LDvMOfZQ0K")), "the body was encoded again", 0},
		{"blanks at line ends", "simple", "", "a\r\nb\r\n", func(m string) string { return m[:len(m)-2] + "  \r\n" }, "blanks at line ends", 0},
		{"dot lost", "relaxed", "", "..a\r\nb\r\n", replace("..a", ".a"), "a line that begins with a dot lost one", 0},
		{"dot too many", "relaxed", "", ".a\r\nb\r\n", replace("\n.a\r", "\n..a\r"), "a line that begins with a dot has one too many", 0},
		{"mbox", "relaxed", "", "a\r\nFrom here\r\n", replace("\nFrom here", "\n>From here"), "a line that begins with \"From \"", 0},
		{"long line", "relaxed", "", long + "\r\n", replace(long, long[:998]+"\r\n "+long[998:1995]+"\r\n "+long[1995:]), "lines of more than 998 octets", 0},
		{"bare CR", "relaxed", "", "a\r\nb\r\n", replace("a\r\n", "a\r\r\n"), "a CR without LF", 0},
		{"something else", "relaxed", "", body0, replace("lost", "won"), "", 0},
		{"nothing", "relaxed", "", body0, replace("", ""), "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head := testHeader
			if tc.head != "" {
				head = strings.Replace(testHeader, "Content-Type: text/plain; charset=utf-8\r\n", tc.head, 1)
			}
			msg := []byte(tc.change(string(sign(t, testKey(t, "rsa"), strings.ReplaceAll(template, "relaxed", tc.canon), head, tc.body))))
			r := verifyAt(t, zone, msg, testTime)[0]
			e, ok := Explain(rawmsg.Scan(msg, rawmsg.Default()), &r)
			if ok != (tc.cause != "") || !strings.HasPrefix(e.Cause, tc.cause) || e.Lines != tc.lines {
				t.Errorf("Explain = %+v, %v, want %q, %d lines", e, ok, tc.cause, tc.lines)
			}
		})
	}
}
