package message

import (
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// TestForeign: in SVG and MathML no element holds raw text (HTML §13.2.6.5), so
// that "<title/>" there hides nothing of what follows from a reader.
func TestForeign(t *testing.T) {
	const link = `<p>cheap pills <a href="https://evil.example/x">here</a>`
	for _, tc := range []struct {
		name, html, visible string
		links               int
	}{
		{"a title in svg", "<svg><title/></svg>" + link, "cheap pills here", 1},
		{"capitals", "<SVG><TITLE/></SVG>" + link, "cheap pills here", 1},
		{"style in math", "<math><style/></math>" + link, "cheap pills here", 1},
		{"script in svg", "<svg><script/></svg>" + link, "cheap pills here", 1},
		{"style that a paragraph ends", "<svg><style>" + link, "cheap pills here", 1},
		{"iframe, noembed and noframes", "<svg><iframe/><noembed/><noframes/></svg>" + link, "cheap pills here", 1},
		{"textarea and xmp", "<svg><textarea/><xmp/><plaintext/></svg>" + link, "cheap pills here", 1},
		{"an end tag of another", "<math></svg><title/></math>" + link, "cheap pills here", 1},
		{"too deep", repeat("<b>", 300) + "<svg><title/></svg>" + link, "cheap pills here", 1},
		{"an end that is none", "<svg><desc><p></svg></p></desc><title/></svg>" + link, "cheap pills here", 1},
		{"a style behind", `<svg><p><style>.x{display:none}</style><div class="x">` + link, "", 1},
		{"a commented style behind", `<svg><p><style><!-- .x{display:none} --></style><div class="x">` + link, "", 1},
		{"a style behind that looks empty", `<svg></svg><style/>.x{display:none}</style><div class="x">` + link, "", 1},
		{"a title without svg", "<title/>" + link, "", 0},
		{"svg in a style", "<style><svg></style><title>" + link, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := Decode(rawmsg.Scan([]byte("Content-Type: text/html\r\n\r\n"+tc.html+"\r\n"), rawmsg.Default()))
			if d.Visible != tc.visible || len(d.Links) != tc.links {
				t.Errorf("%q: visible %q, %d links; want %q, %d", tc.html, d.Visible, len(d.Links), tc.visible, tc.links)
			}
		})
	}
}

func repeat(s string, n int) (out string) {
	for range n {
		out += s
	}
	return out
}
