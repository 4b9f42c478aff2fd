package message

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/rawmsg/hostile"
)

func decode(s string) *Message { return Decode(rawmsg.Scan([]byte(s), rawmsg.Default())) }

func TestDecodeText(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		text     []string
		html     []string
		reason   string
	}{
		{"plain", "\nhello\n", []string{"hello\n"}, nil, ""},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=iso-8859-1\n\ngr=FC=DFe=\n x\n", []string{"grüße x\n"}, nil, ""},
		{"base64", "Content-Transfer-Encoding: BASE64\nContent-Type: text/plain; charset=utf-8\n\nZ3LDvMOf\r\nZQ==\n", []string{"grüße"}, nil, ""},
		{"base64 with a stray character", "Content-Transfer-Encoding: base64\n\naGVsbG8gd29ybGQhIGFuZCBtb3Jl\n!aGVsbG8=\n", []string{"hello world! and morehello"}, nil, ""},
		{"base64 with half a group", "Content-Transfer-Encoding: base64\n\naGVsbG8gd29ybGQhA\n", []string{"hello world!"}, nil, ""},
		{"no character set, UTF-8", "\ngrüße", []string{"grüße"}, nil, ""},
		{"no character set, not UTF-8", "\ngr\xfc\xdfe", []string{"grüße"}, nil, ""},
		{"unknown character set", "Content-Type: text/plain; charset=x-none\n\ngr\xfc\xdfe", []string{"grüße"}, nil, ""},
		{"Japanese", "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B$3$s$K$A$O\x1b(B", []string{"こんにちは"}, nil, ""},
		{"alternative", "Content-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--b\nContent-Type: text/html\n\n<p>one</p>\n--b--\n", []string{"one"}, []string{"<p>one</p>"}, ""},
		{"text attachment", "Content-Disposition: attachment\n\none\n", nil, nil, ""},
		{"attached message", "Content-Type: message/rfc822\n\nSubject: x\n\ninner\n", nil, nil, ""},
		{"what says base64 and is not", "Content-Transfer-Encoding: base64\n\n<p>;;;;</p>;;;;;;;;;;;;;;\n", nil, nil, "a text part that says base64 and is not"},
		{"unknown encoding", "Content-Transfer-Encoding: x-uuencode\n\none\n", []string{"one\n"}, nil, "a text part of unknown encoding"},
		{"too long", "\n" + strings.Repeat("a", MaxText+10), []string{strings.Repeat("a", MaxText)}, nil, "more than 1 MB of text"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := decode(tc.in)
			if !slices.Equal(d.Text, tc.text) || !slices.Equal(d.HTML, tc.html) {
				t.Errorf("Decode(%.200q) = text %.200q, HTML %.200q, want %.200q, %.200q", tc.in, d.Text, d.HTML, tc.text, tc.html)
			}
			if strings.Join(d.Reasons, ", ") != tc.reason || d.Partly != (tc.reason != "") {
				t.Errorf("Decode(%.200q) partly %v, %q, want %q", tc.in, d.Partly, d.Reasons, tc.reason)
			}
		})
	}
}

func TestDecodeHeader(t *testing.T) {
	d := decode("Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\nFrom: =?utf-8?q?J=C3=B6rg?= <j@b.example>\nFrom: k@b.example\nSubject: 2\n\n")
	if d.Subject != "grüße" || len(d.From) != 2 || d.From[0].Name != "Jörg" || d.From[1].Addr.String() != "k@b.example" {
		t.Errorf("Decode = %+v", d)
	}
}

func TestDecodeHTML(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		visible  string
		links    []string
		images   int
	}{
		{"text", "<html><head><title>t</title><style>p{}</style></head><body><p>one<p>two&amp;<script>x</script></body>", "one two&", nil, 0},
		{"link", `<A HREF=" https://a.example/x?a=1&amp;b=2 ">go <b>there</b></A>`, "go there", []string{"https://a.example/x?a=1&b=2 go there"}, 0},
		{"link with an image", `<a href=x><img src=y></a><img src="z">`, "", []string{"x "}, 2},
		{"open link", `<a href=x>one<a href=y>two`, "onetwo", []string{"x one", "y two"}, 0},
		{"no href", `<a name=x>one</a>`, "one", nil, 0},
		{"comment and declaration", `<!DOCTYPE html><!-- <a href=x>no</a> -->yes`, "yes", nil, 0},
		{"open tag at the end", `one<a href="x`, "one", nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := decode("Content-Type: text/html\n\n" + tc.in)
			if d.Visible != tc.visible || !slices.Equal(linksOf(d), tc.links) || d.Images != tc.images {
				t.Errorf("Decode(%q) = visible %q, links %q, %d images, want %q, %q, %d", tc.in, d.Visible, linksOf(d), d.Images, tc.visible, tc.links, tc.images)
			}
		})
	}
}

// linksOf returns links as "URL text".
func linksOf(d *Message) []string {
	var out []string
	for _, l := range d.Links {
		out = append(out, l.URL+" "+l.Text)
	}
	return out
}

func TestPlainLinks(t *testing.T) {
	d := decode("\nsee https://a.example/x, (http://b.example) <HTTPS://c.example/?q=1> ftp://d.example ://e http://, x\n")
	want := []string{"https://a.example/x ", "http://b.example ", "HTTPS://c.example/?q=1 ", "ftp://d.example "}
	if !slices.Equal(linksOf(d), want) {
		t.Errorf("links %q, want %q", linksOf(d), want)
	}
	d = decode("\n" + strings.Repeat("http://a.example ", MaxLinks+1))
	if len(d.Links) != MaxLinks || !slices.Equal(d.Reasons, []string{"more than 500 links"}) {
		t.Errorf("%d links, reasons %q", len(d.Links), d.Reasons)
	}
}

func TestAttachments(t *testing.T) {
	d := decode("Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n" +
		"--b\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nAAAABBBB\n" +
		"--b\nContent-Type: image/png\n\nxyz\n" +
		"--b\nContent-Disposition: attachment; filename=t.txt\n\nt\n" +
		"--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ninner\n--c\nContent-Type: application/x; name=b.exe\n\n1\n--c--\n" +
		"--b--\n")
	var got []string
	for _, a := range d.Attachments {
		got = append(got, a.Type+" "+a.Name)
	}
	want := []string{"application/pdf a.pdf", "image/png ", "text/plain t.txt", "message/rfc822 ", "application/x b.exe"}
	if !slices.Equal(got, want) || d.Attachments[0].Size != 6 || d.Attachments[1].Size != 3 {
		t.Errorf("attachments %+v, want %q", d.Attachments, want)
	}
	if !slices.Equal(d.Text, []string{"text"}) {
		t.Errorf("text %q", d.Text)
	}
}

// TestHostile: the library sees nothing of a message outside the scanner's
// limits, and never more than MaxText.
func TestHostile(t *testing.T) {
	for _, name := range hostile.Names() {
		t.Run(name, func(t *testing.T) {
			m := rawmsg.Scan(hostile.Message(name), rawmsg.Default())
			d := Decode(m)
			if !m.Inside() && d.Decoded != 0 {
				t.Errorf("hit %v, and the library got %d bytes", m.Hit, d.Decoded)
			}
			if d.Decoded > MaxText {
				t.Errorf("the library got %d bytes", d.Decoded)
			}
			if !d.Partly && len(m.Raw) > 4*MaxText {
				t.Errorf("%d bytes, and Decode says that it saw all", len(m.Raw))
			}
			if name == "21 MB of base64 that is none" && d.Decoded != 0 {
				t.Errorf("the library got %d bytes that are no base64", d.Decoded)
			}
			if len(d.Links) > MaxLinks {
				t.Errorf("%d links", len(d.Links))
			}
		})
	}
}

// TestOutsideBounds: of a message that the library may not see there is what
// needs no decoding.
func TestOutsideBounds(t *testing.T) {
	d := decode("Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nclear\n--b\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n" + strings.Repeat("--b\n\nx\n", 600))
	if d.Decoded != 0 || d.Subject != "s" || len(d.Text) == 0 || d.Text[0] != "clear" || !slices.Equal(d.Reasons, []string{"too many parts"}) {
		t.Errorf("Decode = %d bytes decoded, subject %q, text %.50q, reasons %q", d.Decoded, d.Subject, d.Text, d.Reasons)
	}
	if slices.Contains(d.Text, "hello") {
		t.Error("base64 was decoded")
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"Subject: =?utf-8?q?a?=\nFrom: a <b@c>\n\nhttp://a.example",
		"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<a href=3D\"x\">=\ny</a><img>",
		"Content-Type: text/plain; charset=utf-7\nContent-Transfer-Encoding: base64\n\nK0FBQS0=",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\n--b\n\n=\n--b--",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := Decode(rawmsg.Scan(raw, rawmsg.Default()))
		for _, s := range slices.Concat(d.Text, d.HTML, []string{d.Subject, d.Visible}) {
			if strings.ToValidUTF8(s, "") != s {
				t.Fatalf("Decode(%q) holds %q", raw, s)
			}
			if len(s) > 4*len(raw)+16 {
				t.Fatalf("Decode(%q) has a text of %d bytes", raw, len(s))
			}
		}
		if d.Decoded > MaxText {
			t.Fatalf("Decode(%q) decoded %d bytes", raw, d.Decoded)
		}
	})
}

// TestLargeTextHidesNothing: filler that no reader looks at does not use up the
// bytes that are read of the part that he sees.
func TestLargeTextHidesNothing(t *testing.T) {
	part := func(typ, body string) string { return "--b\r\nContent-Type: " + typ + "\r\n\r\n" + body + "\r\n" }
	const head, spam = "Content-Type: multipart/alternative; boundary=b\r\n\r\n", `<p>cheap pills <a href="https://evil.example/x">here</a>`
	for _, tc := range []struct {
		name string
		body string
	}{
		{"text in front", part("text/plain", strings.Repeat("filler ", MaxText/7+1))},
		{"HTML in front", part("text/html", strings.Repeat("filler ", MaxText/7+1))},
		{"many parts in front", strings.Repeat(part("text/plain", strings.Repeat("filler ", MaxText/140)), 30)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := Decode(rawmsg.Scan([]byte(head+tc.body+part("text/html", spam)+"--b--\r\n"), rawmsg.Default()))
			total := 0
			for _, s := range append(d.Text, d.HTML...) {
				total += len(s)
			}
			if !strings.HasSuffix(d.Visible, "cheap pills here") || len(d.Links) != 1 || !d.Partly || total > MaxText || total < MaxText-MaxText/16 {
				t.Errorf("visible ends in %q, %d links, partly %t, %d bytes", d.Visible[max(0, len(d.Visible)-20):], len(d.Links), d.Partly, total)
			}
		})
	}
}
