package message

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// TestHidden: what no reader sees is in neither Visible nor the count of what
// is shown.
func TestHidden(t *testing.T) {
	const long = `seen text that stands in front of all others, as every letter has it. `
	for _, tc := range []struct {
		name, in string
		why      Why
		want     int // letters hidden, 0 for none
	}{
		{"display", `<p style="display: none">hidden</p>`, NotDisplayed, 6},
		{"display with a mark of importance", `<p style="DISPLAY:NONE !important">hidden</p>`, NotDisplayed, 6},
		{"child of what is not displayed", `<div style="display:none"><p style="display:block">hidden</p></div>`, NotDisplayed, 6},
		{"attribute", `<p hidden>hidden</p>`, NotDisplayed, 6},
		{"visibility", `<div style="visibility:hidden">hidden<p style="visibility:visible">seen</p></div>`, NotDisplayed, 6},
		{"font of no size", `<font style="font-size:0px">hidden</font>`, ZeroFont, 6},
		{"font of one pixel", `<font style="font-size:1px">hidden</font>`, ZeroFont, 6},
		{"size given back", `<td style="font-size:0"><p style="font-size:12px">seen</p></td>`, 0, 0},
		{"opacity", `<p style="opacity:0">hidden</p>`, Transparent, 6},
		{"transparent colour", `<p style="color:transparent">hidden</p>`, Transparent, 6},
		{"rgba", `<p style="color:rgba(0,0,0,0)">hidden</p>`, Transparent, 6},
		{"white on white", `<p style="color:white">hidden</p>`, LowContrast, 6},
		{"nearly white", `<p style="color:#FEFEFE">hidden</p>`, LowContrast, 6},
		{"font colour", `<font color=ffffff>hidden</font>`, LowContrast, 6},
		{"rgb on a named colour", `<table bgcolor="navy"><tr><td style="color: rgb(0, 0, 128)">hidden</td></tr></table>`, LowContrast, 6},
		{"white on blue", `<table bgcolor=#003366><tr><td style="color:#fff">seen</td></tr></table>`, 0, 0},
		{"white on a picture", `<td background="x.png" style="color:#fff">seen</td>`, 0, 0},
		{"white on a picture of a style", `<td style="background:url(x) #fff; color:#fff">seen</td>`, 0, 0},
		{"off the screen", `<div style="position:absolute;left:-9999px">hidden</div>`, OffScreen, 6},
		{"indent", `<p style="text-indent:-5000px">hidden</p>`, OffScreen, 6},
		{"box without room", `<div style="max-height:0;overflow:hidden">hidden</div>`, OffScreen, 6},
		{"height without overflow", `<td style="height:0">seen</td>`, 0, 0},
		{"class", `<style>.x{display:none}</style><p class="a x">hidden</p>`, NotDisplayed, 6},
		{"tag and comment", `<style><!-- /* c */ h1 , h2 { display:none } --></style><h2>hidden</h2>`, NotDisplayed, 6},
		{"id", `<style>#i{font-size:0}</style><p id=i>hidden</p>`, ZeroFont, 6},
		{"class for other windows", `<style>.m{display:none} @media (max-width:600px){.m{display:block!important}}</style><p class=m>hidden</p>`, 0, 0},
		{"class that is not used", `<style>.x{display:none}</style><p class="xy">seen</p>`, 0, 0},
		{"style over class", `<style>.x{display:none}</style><p class="x" style="display:block">seen</p>`, 0, 0},
		{"end of a paragraph nobody ended", `<p style="color:#fff"><p>seen</p>`, 0, 0},
		{"end of a cell", `<table><tr><td style="display:none"><td>seen</table>`, 0, 0},
		{"end tag across a cell", `<div style="display:none"><table><tr><td></div>hidden</table></div>seen`, NotDisplayed, 6},
		{"entities in a style", `<p style="display&#58;none">hidden</p>`, NotDisplayed, 6},
		{"nothing but blanks", `<p style="display:none">&nbsp;&zwnj; &#847;</p>`, 0, 0},
		{"void elements have no end", `<br style="display:none">seen<img style="display:none">seen`, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := decode("Content-Type: text/html\n\n<p>" + long + "</p>" + tc.in)
			p := &d.Page
			if p.HiddenLetters() != tc.want || tc.want > 0 && p.Hidden[tc.why] != tc.want {
				t.Errorf("%q: hidden %v, want %d of %d", tc.in, p.Hidden, tc.want, tc.why)
			}
			if got := strings.Contains(d.Visible, "hidden"); got != (tc.want == 0 && strings.Contains(tc.in, ">hidden")) || strings.Contains(tc.in, ">seen") && !strings.Contains(d.Visible[len(long):], "seen") {
				t.Errorf("%q: visible %q", tc.in, d.Visible)
			}
		})
	}
}

func TestPreheader(t *testing.T) {
	d := decode("Content-Type: text/html\n\n<div style='display:none'>In this letter: herons &zwnj;&nbsp;&zwnj;&nbsp;</div><p>Dear Bob</p>")
	if d.Page.Preheader != 18 || d.Page.HiddenLetters() != 0 || d.Visible != "Dear Bob" {
		t.Errorf("preheader %d, hidden %v, visible %q", d.Page.Preheader, d.Page.Hidden, d.Visible)
	}
	d = decode("Content-Type: text/html\n\n<div style='display:none'>" + strings.Repeat("word ", 200) + "</div><p>Dear Bob</p>")
	if d.Page.HiddenLetters() != 800 {
		t.Errorf("a long one counts as %d hidden letters", d.Page.HiddenLetters())
	}
}

func TestPage(t *testing.T) {
	d := decode("Content-Type: text/html\n\n" + `<html><head><base href="https://b.example/"><meta http-equiv=Refresh content="3; URL='https://r.example/'">
<link rel=stylesheet href="https://c.example/x.css"><script>var a = "<p>no</p>";</script></head><body>
<form action="https://f.example/p"><input type=PASSWORD><input></form>
<a href="https://a.example/"><img src="https://i.example/x.png" width=300 height="200px"></a><img src="cid:x"><img src=//i.example/t.gif width=1 height=1>
<a href="data:text/html;base64,AAAA">open</a><a style="display:none" href="https://h.example/">x</a>
www.bare.com/x and mail alice@example.com</body></html>`)
	p := d.Page
	want := Page{Forms: 1, Passwords: 1, Scripts: 1, Stylesheets: 1, DataPages: 1, Refresh: "https://r.example/", Base: "https://b.example/",
		Images: Images{Linked: 1, Remote: 2, Inline: 1, Tiny: 1, LinkedArea: 60000}}
	p.Shown, p.Hidden, p.Runs, p.Preheader = 0, want.Hidden, want.Runs, 0
	if p != want || d.Images != 3 {
		t.Errorf("page %+v, want %+v, %d images", p, want, d.Images)
	}
	if !slices.Equal(linksOf(d), []string{"https://f.example/p ", "https://a.example/ ", "data:text/html;base64,AAAA open", "https://h.example/ ", "www.bare.com/x "}) ||
		!d.Links[1].Image || !d.Links[3].Hidden || d.Links[0].Kind != Action || d.Links[4].To.Host != "www.bare.com" || !slices.Equal(d.Addresses, []string{"alice@example.com"}) {
		t.Errorf("links %+v, addresses %q", d.Links, d.Addresses)
	}
}

// TestHTMLLinear: bombs of depth, attributes, entities, rules and links cost a
// bounded number of steps for each byte.
func TestHTMLLinear(t *testing.T) {
	const n = 60000
	for name, in := range map[string]string{
		"depth":             strings.Repeat("<div>", n),
		"depth and ends":    strings.Repeat("<b>", 300) + strings.Repeat("</i></td>", n),
		"cells":             "<table>" + strings.Repeat("<td><p>", n),
		"attributes":        "<p " + strings.Repeat("a=1 ", n) + ">x",
		"styles":            strings.Repeat("<p style='color:red;display:none'>", n/4),
		"entities":          strings.Repeat("&amp;&#x26;&", n),
		"rules":             "<style>" + strings.Repeat(".a{color:red}", n) + "</style>" + strings.Repeat("<p class='a b c d'>x", n/4),
		"media":             "<style>" + strings.Repeat("@media x{", n) + "</style>x",
		"links":             strings.Repeat("<a href=http://a.example>x</a>", n),
		"plain links":       strings.Repeat("http://a.example ", n),
		"open anchor":       "<a href=x>" + strings.Repeat("y ", n),
		"comments":          strings.Repeat("<!--", n),
		"addresses":         strings.Repeat("a@b.org ", n),
		"one address apart": strings.Repeat("1BoatSLRHtKNngkdXEeobR76b53LETtpyU ", n),
		"phrases":           strings.Repeat("next of next of kin my name is ", n/8),
		"digits":            strings.Repeat("1-", n),
	} {
		t.Run(name, func(t *testing.T) {
			d := decode("Content-Type: text/html\n\n" + in)
			if d.Work > 260*len(in)+1000 {
				t.Errorf("%d steps for %d bytes", d.Work, len(in))
			}
			if len(d.Links) > MaxLinks || len(d.Addresses) > MaxAddresses || len(d.Words.Said) > maxSaid {
				t.Errorf("%d links, %d addresses", len(d.Links), len(d.Addresses))
			}
		})
	}
}

func FuzzHTML(f *testing.F) {
	for _, s := range []string{
		`<style>.a{display:none}@media x{.a{color:#fff}}</style><p class=a style="font-size:0;color:rgb(1,2%">x</p>`,
		`<table><tr><td hidden><a href=x>y<td></table><img width=1 src=cid:x>`, `<a b=c/d e='f`, `<!--<p>--><script></style></script>`,
		"<p style='background:url( red;color:#ab'>\xff\u200b", `<meta http-equiv=refresh content==>`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		d := &Message{}
		src = strings.ToValidUTF8(src, "")
		v := d.html(src)
		if len(v) > 3*len(src)+8 || strings.ToValidUTF8(v, "") != v {
			t.Fatalf("html(%q) = %q", src, v)
		}
		if d.Page.HiddenLetters() > 3*len(src) || len(d.Links) > MaxLinks {
			t.Fatalf("html(%q): %+v", src, d.Page)
		}
		d.words(rawmsg.Scan(nil, rawmsg.Default()))
	})
}

// FuzzLook: whatever an attachment holds, looking at it ends, and tells a
// bounded number of names.
func FuzzLook(f *testing.F) {
	for _, s := range []string{"PK\x03\x04", "PK\x01\x02", "PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00", "Rar!\x1a\x07\x01\x00", "%PDF-1.7 /JS /OpenAction", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", `{\rtf1\objdata`, "<svg><script>", "7z\xbc\xaf\x27\x1c", "MZ"} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, encoded bool) {
		head := "Content-Type: application/x; name=a.bin\n"
		if encoded {
			head += "Content-Transfer-Encoding: base64\n"
			b = []byte(base64Text(b))
		}
		d := Decode(rawmsg.Scan(append([]byte(head+"\n"), b...), rawmsg.Default()))
		for _, a := range d.Attachments {
			if len(a.Files) > maxFiles {
				t.Fatalf("%d names", len(a.Files))
			}
		}
	})
}

func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
