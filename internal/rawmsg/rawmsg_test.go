package rawmsg

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// tree writes the MIME tree on one line: type/subtype[children].
func tree(p *Part) string {
	s := p.Type + "/" + p.Subtype
	if p.Children == nil {
		return s
	}
	var cs []string
	for _, c := range p.Children {
		cs = append(cs, tree(c))
	}
	return s + "[" + strings.Join(cs, " ") + "]"
}

func TestScanHeader(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		fields   string // "Name=value|Name=value", values raw
		body     string
	}{
		{"LF", "A: 1\nB: 2\n\nbody\n", "A= 1|B= 2", "body\n"},
		{"CRLF", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A= 1|B= 2", "body\r\n"},
		{"folding is kept", "A: 1\r\n\tx\r\n y\r\n\r\n", "A= 1\r\n\tx\r\n y", ""},
		{"no space, and two colons", "A:1:2\n\n", "A=1:2", ""},
		{"empty value", "A:\n\nx", "A=", "x"},
		{"no body", "A: 1\nB: 2", "A= 1|B= 2", ""},
		{"no header", "\nbody", "", "body"},
		{"nothing", "", "", ""},
		{"first line that is no field is body", "A: 1\nhello\nB: 2\n", "A= 1", "hello\nB: 2\n"},
		{"continuation of nothing is body", " x\nA: 1\n", "", " x\nA: 1\n"},
		{"mbox line", "From a@b Mon Jan  1 00:00:00 2001\nA: 1\n\nb", "A= 1", "b"},
		{"obsolete From field is no mbox line", "From : a@b\n\nb", "From= a@b", "b"},
		{"blank before the colon", "A \t: 1\n\n", "A= 1", ""},
		{"8 bit in the name", "A\xe4: 1\n\n", "", "A\xe4: 1\n\n"},
		{"control in the name", "A\x01B: 1\n\n", "", "A\x01B: 1\n\n"},
		{"bare CR is a character", "A: 1\rB: 2\n\nb", "A= 1\rB: 2", "b"},
		{"white space line continues", "A: 1\n \nB: 2\n\n", "A= 1\n |B= 2", ""},
		{"line of CR CR LF", "A: 1\r\r\n\r\nb", "A= 1\r", "b"},
		{"NUL", "A: 1\x002\n\nb", "A= 1\x002", "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := Scan([]byte(tc.in), Default())
			var got []string
			for _, f := range m.Fields {
				got = append(got, f.Name+"="+string(f.Value))
			}
			if s := strings.Join(got, "|"); s != tc.fields {
				t.Errorf("Scan(%q) fields %q, want %q", tc.in, s, tc.fields)
			}
			if b := string(m.Raw[m.HeaderEnd:]); b != tc.body {
				t.Errorf("Scan(%q) body %q, want %q", tc.in, b, tc.body)
			}
		})
	}
}

func TestScanTree(t *testing.T) {
	const two = "Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b\nContent-Type: text/html\n\ntwo\n--b--\npost\n"
	for _, tc := range []struct {
		name, in, want string
		bodies         string // of the leaves, joined by "|"
	}{
		{"no MIME", "A: 1\n\nx\n", "text/plain", "x\n"},
		{"two parts", two, "multipart/mixed[text/plain text/html]", "one|two"},
		{"CRLF", strings.ReplaceAll(two, "\n", "\r\n"), "multipart/mixed[text/plain text/html]", "one|two"},
		{"not closed", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n", "multipart/mixed[text/plain]", "one\n"},
		{"empty part", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b--\n", "multipart/mixed[text/plain text/plain]", "|"},
		{"quoted boundary, blank behind it", "Content-Type: multipart/mixed; boundary=\"b c\"\n\n--b c \t\n\none\n--b c--  \n", "multipart/mixed[text/plain]", "one"},
		{"boundary that begins like another", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bx\none\n--b--\n", "multipart/mixed[text/plain]", "--bx\none"},
		{"no boundary", "Content-Type: multipart/mixed\n\n--b\n\nx", "multipart/mixed", "--b\n\nx"},
		{"nested, inner not closed", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--a\n\ntwo\n--a--\n",
			"multipart/mixed[multipart/alternative[text/plain] text/plain]", "one|two"},
		{"header of a part without blank line", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n--b\n\ntwo\n--b--\n", "multipart/mixed[text/html text/plain]", "|two"},
		{"boundary with a colon is no field", "Content-Type: multipart/mixed; boundary=\"b:\"\n\n--b:\nContent-Type: text/html\n--b:\n\ntwo\n--b:--\n", "multipart/mixed[text/html text/plain]", "|two"},
		{"attached message", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\nContent-Type: text/html\n\nin\n--b\n\nout\n--b--\n",
			"multipart/mixed[message/rfc822[text/html] text/plain]", "in|out"},
		{"attached message with the same boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n--b\n\ny\n--b--\n",
			"multipart/mixed[message/rfc822[multipart/mixed[text/plain]] text/plain]", "x|y"},
		{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nin\n--b--\n", "multipart/digest[message/rfc822[text/plain]]", "in"},
		{"broken type", "Content-Type: text\n\nx", "text/plain", "x"},
		{"encoded message is a leaf", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA", "message/rfc822", "AAAA"},
		{"second Content-Type does not count", "Content-Type: text/html\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx", "text/html", "--b\n\nx"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := Scan([]byte(tc.in), Default())
			if got := tree(m.Root); got != tc.want {
				t.Errorf("Scan(%q) tree %s, want %s", tc.in, got, tc.want)
			}
			var bodies []string
			m.Walk(func(p *Part) bool {
				if p.Children == nil {
					bodies = append(bodies, string(m.Bytes(p.Body)))
				}
				return true
			})
			if got := strings.Join(bodies, "|"); got != tc.bodies {
				t.Errorf("Scan(%q) bodies %q, want %q", tc.in, got, tc.bodies)
			}
			if len(m.Hit) > 0 {
				t.Errorf("Scan(%q) hit %v", tc.in, m.Hit)
			}
		})
	}
}

func TestScanPartFields(t *testing.T) {
	for _, tc := range []struct {
		name, head string
		encoding   string
		disp, file string
		charset    string
	}{
		{"all of them", "Content-Type: text/plain; charset=\"UTF-8\"\nContent-Transfer-Encoding: Base64\nContent-Disposition: ATTACHMENT; filename=a.txt", "base64", "attachment", "a.txt", "UTF-8"},
		{"name of the type", "Content-Type: application/pdf; name=\"a b.pdf\"", "", "", "a b.pdf", ""},
		{"comments", "Content-Type: text/plain (x; y) ; charset=a (b)\nContent-Transfer-Encoding: 7bit (really)", "7bit", "", "", "a"},
		{"escaped quote", `Content-Disposition: attachment; filename="a\"b.txt"`, "", "attachment", `a"b.txt`, ""},
		{"encoded-word", "Content-Disposition: attachment; filename=\"=?utf-8?B?w6QudHh0?=\"", "", "attachment", "ä.txt", ""},
		{"RFC 2231", "Content-Disposition: attachment; filename*=iso-8859-1''%E4.txt; filename=x", "", "attachment", "ä.txt", ""},
		{"RFC 2231 in pieces, out of order", "Content-Disposition: attachment;\n filename*1*=%A4.t; filename*0*=utf-8'de'%C3;\n filename*2=xt", "", "attachment", "ä.txt", ""},
		{"RFC 2231 with a hole", "Content-Disposition: attachment; filename*0=a; filename*2=c", "", "attachment", "a", ""},
		{"RFC 2231 without a first piece", "Content-Disposition: attachment; filename*1=a", "", "attachment", "", ""},
		{"open quote", `Content-Disposition: attachment; filename="a.txt`, "", "attachment", "a.txt", ""},
		{"raw 8 bit", "Content-Disposition: attachment; filename=\"\xe4.txt\"", "", "attachment", "ä.txt", ""},
		{"parenthesis in a name", "Content-Disposition: attachment; filename=a(1.txt", "", "attachment", "a(1.txt", ""},
		{"empty parameters", "Content-Type: text/plain;; ;charset=a;", "", "", "", "a"},
		{"first of a name", "Content-Type: text/plain; charset=a; charset=b", "", "", "", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := Scan([]byte(tc.head+"\n\nx"), Default()).Root
			if p.Encoding != tc.encoding || p.Disposition != tc.disp || p.Filename != tc.file || p.Params["charset"] != tc.charset {
				t.Errorf("Scan(%q) = encoding %q, disposition %q, file %q, charset %q, want %q, %q, %q, %q",
					tc.head, p.Encoding, p.Disposition, p.Filename, p.Params["charset"], tc.encoding, tc.disp, tc.file, tc.charset)
			}
		})
	}
}

func TestValues(t *testing.T) {
	m := Scan([]byte("X-A: 1\r\n  2 \r\nb: 3\r\nx-a: 4\r\n\r\n"), Default())
	if got := m.Values("X-a"); !slices.Equal(got, []string{"1  2", "4"}) {
		t.Errorf("Values = %q", got)
	}
	if v, ok := m.First("B"); v != "3" || !ok {
		t.Errorf("First = %q, %v", v, ok)
	}
	if _, ok := m.First("c"); ok {
		t.Error("First finds what is not there")
	}
}

func TestLimits(t *testing.T) {
	lim := Limits{HeaderBytes: 100, FieldBytes: 20, Fields: 3, Parts: 3, Depth: 2, Params: 2, Decoded: 1000}
	mixed := "Content-Type: multipart/mixed; boundary=b\n\n"
	for _, tc := range []struct {
		name, in string
		hit      []Limit
		fields   int
		want     string
	}{
		{"inside", "A: 1\n\n--b\n", nil, 1, "text/plain"},
		{"long field", "A: " + strings.Repeat("x", 30) + "\nB: 1\n\n", []Limit{FieldBytes}, 2, "text/plain"},
		{"many fields", "A: 1\nA: 2\nA: 3\nA: 4\n\n", []Limit{Fields}, 3, "text/plain"},
		{"long header", "A: " + strings.Repeat("x", 90) + "\nB: 12345678\nC: 1\n\n", []Limit{FieldBytes, HeaderBytes}, 2, "text/plain"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := Scan([]byte(tc.in), lim)
			if !slices.Equal(m.Hit, tc.hit) || len(m.Fields) != tc.fields || tree(m.Root) != tc.want {
				t.Errorf("Scan(%q) = hit %v, %d fields, %s, want %v, %d, %s", tc.in, m.Hit, len(m.Fields), tree(m.Root), tc.hit, tc.fields, tc.want)
			}
			if m.HeaderCut != (tc.hit != nil) {
				t.Errorf("Scan(%q): HeaderCut %v", tc.in, m.HeaderCut)
			}
			for _, f := range m.Fields {
				if len(f.Raw) > lim.FieldBytes {
					t.Errorf("field %s of %d bytes", f.Name, len(f.Raw))
				}
			}
		})
	}
	lim.FieldBytes = 1000
	for _, tc := range []struct {
		name, in string
		hit      []Limit
		want     string
	}{
		{"many parts", mixed + strings.Repeat("--b\n\nx\n", 5), []Limit{Parts}, "multipart/mixed[text/plain text/plain]"},
		{"deep", mixed + "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--b\n\ny", []Limit{Depth}, "multipart/mixed[multipart/mixed text/plain]"},
		{"many parameters", "Content-Type: text/html; a=1; b=2; c=3\n\n", []Limit{Params}, "text/html"},
		{"long header of a part", mixed + "--b\nA: " + strings.Repeat("x", 100) + "\n\nx\n", []Limit{HeaderBytes}, "multipart/mixed[text/plain]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := Scan([]byte(tc.in), lim)
			if !slices.Equal(m.Hit, tc.hit) || tree(m.Root) != tc.want || m.HeaderCut {
				t.Errorf("Scan(%q) = hit %v, %s, want %v, %s", tc.in, m.Hit, tree(m.Root), tc.hit, tc.want)
			}
		})
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"A: 1\r\n\r\nb", "From x\nA : 1\n 2\n\n", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n",
		"Content-Type: multipart/digest; boundary=\"b\"\n\n--b\n\nContent-Type: message/rfc822\n\n--b--",
		"Content-Type: a/b; name*0*=utf-8''%41; name*1=b\nContent-Disposition: x (c); filename=\"=?q?q?q?=\"\n",
	} {
		f.Add([]byte(s))
	}
	lim := Limits{HeaderBytes: 500, FieldBytes: 200, Fields: 10, Parts: 10, Depth: 4, Params: 5, Decoded: 100, BadBase64: 10}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := Scan(raw, lim)
		if err := check(m, lim); err != nil {
			t.Fatalf("Scan(%q): %v", raw, err)
		}
		facts := m.Facts(lim)
		if l := facts.Lines; l.CRLF+l.LF != strings.Count(string(raw), "\n") || l.CRLF+l.CR != strings.Count(string(raw), "\r") {
			t.Fatalf("Facts of %q: lines %+v", raw, l)
		}
		if facts.Work > 3*len(raw) || m.Decoded > len(raw) {
			t.Fatalf("Facts of %q: %+v, decoded %d", raw, facts, m.Decoded)
		}
		if max := (lim.Depth + 4) * (len(raw) + 10); m.Work > max {
			t.Fatalf("Scan(%q) took %d steps, more than %d", raw, m.Work, max)
		}
	})
}

// check returns what is wrong with m as such.
func check(m *Message, lim Limits) error {
	at := 0
	for _, f := range m.Fields {
		i := strings.Index(string(m.Raw[at:m.HeaderEnd]), string(f.Raw))
		if i < 0 {
			return fmt.Errorf("field %q is not in the header, or not in order", f.Raw)
		}
		at += i + len(f.Raw)
	}
	parts := 0
	var bad error
	var visit func(p *Part, in Span, depth int)
	visit = func(p *Part, in Span, depth int) {
		parts++
		if p.Header.Start < in.Start || p.Header.End != p.Body.Start || p.Body.End < p.Body.Start || p.Body.End > in.End {
			bad = fmt.Errorf("part %s: header %v, body %v in %v", tree(p), p.Header, p.Body, in)
		}
		if depth > lim.Depth {
			bad = fmt.Errorf("depth %d", depth)
		}
		next := p.Body.Start
		for _, c := range p.Children {
			visit(c, Span{next, p.Body.End}, depth+1)
			next = c.Body.End
		}
	}
	visit(m.Root, Span{0, len(m.Raw)}, 1)
	if parts > lim.Parts {
		return fmt.Errorf("%d parts", parts)
	}
	return bad
}
