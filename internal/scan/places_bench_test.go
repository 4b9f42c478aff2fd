package scan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// BenchmarkLinks is a page with a good many links.
func BenchmarkLinks(b *testing.B) {
	var page strings.Builder
	page.WriteString("From: a@example.net\r\nContent-Type: text/html\r\n\r\n")
	for i := range 150 {
		fmt.Fprintf(&page, "<p>See <a href=\"https://www.site%d.net/a/b?c=%d\">this</a>.</p>\r\n", i%10, i)
	}
	m := Message{Raw: rawmsg.Scan([]byte(page.String()), rawmsg.Default())}
	m.Text = message.Decode(m.Raw)
	e, err := New(Default(), Deps{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Scan(m, noon)
	}
}
