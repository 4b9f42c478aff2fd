//go:build linux

package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/eval"
)

// average is the mean size of the messages of sample.
const average = 36 << 10

// corpora returns the directory of the corpora, or skips.
func corpora(b *testing.B) string {
	dir := os.Getenv("CORPORA")
	if dir == "" {
		dir = "../../../../shared/data/corpora"
	}
	if _, err := os.Stat(filepath.Join(dir, "spamassassin", "index.tsv")); err != nil {
		b.Skip("no corpora (CORPORA=DIR names them): " + err.Error())
	}
	return dir
}

// mail is a message of a corpus.
type mail struct {
	spam bool
	path string
	raw  []byte
}

// sample returns a fixed sample of all three corpora: each twentieth message,
// and in turn those above 50 KB, as often as it takes for the average size.
// taught are others, for the filter to learn.
func sample(b *testing.B) (mixed, taught []mail) {
	var large []mail
	sum := 0
	for _, name := range []string{"spamassassin", "csdmc2010", "modern-lists-dev"} {
		items, err := eval.ReadIndex(filepath.Join(corpora(b), name, "index.tsv"))
		if err != nil {
			b.Fatal(err)
		}
		for i, it := range items {
			raw, _, err := eval.Read(it)
			if err != nil {
				b.Fatal(err)
			}
			m := mail{it.Spam, it.Path, raw}
			switch {
			case i%20 == 0:
				mixed = append(mixed, m)
				sum += len(raw)
			case len(raw) > 50<<10:
				large = append(large, m)
			case i%20 == 10 && len(taught) < 400:
				taught = append(taught, m)
			}
		}
	}
	for i := 0; sum < average*len(mixed); i++ {
		m := large[i%len(large)]
		mixed = append(mixed, m)
		sum += len(m.raw)
	}
	b.Logf("%d messages of %d bytes on average", len(mixed), sum/len(mixed))
	// Neighbours are alike in the corpora, and the large ones at the end.
	slices.SortStableFunc(mixed, func(x, y mail) int { return bytes.Compare(key(x), key(y)) })
	return mixed, taught
}

// key puts messages into an order that has nothing to do with what they are.
func key(m mail) []byte {
	s := []byte(filepath.Base(m.path))
	slices.Reverse(s)
	return s
}

// linked is a message of 36 KB with links to n domains that no other has, as
// DNS lists are asked about them: plain text beside HTML, and a picture.
func linked(serial, n int) []byte {
	var html strings.Builder
	for i := range 150 {
		fmt.Fprintf(&html, "<p>Some words in a <a href=\"https://www.site%dof%d.net/a/b?c=%d\">paragraph</a> of a page.</p>\r\n", i%n, serial, i)
	}
	text := strings.Repeat("Some words of a usual length stand in this line of text, and so on.\r\n", 100)
	picture := strings.Repeat(strings.Repeat("QUJDREVGR0hJSktM", 4)+"\r\n", 230)
	return []byte("From: Sender Name <sender@" + domain(serial) + ">\r\nTo: Alice <alice@example.org>\r\nSubject: a usual message with a usual subject\r\n" +
		"Date: Fri, 20 Nov 2026 06:51:57 +0000\r\nMessage-ID: <" + fmt.Sprint(serial) + "@" + domain(serial) + ">\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n" +
		"--b1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text +
		"--b2\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>" + html.String() + "</body></html>\r\n--b2--\r\n--b1\r\nContent-Type: image/png; name=a.png\r\n" +
		"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a.png\r\n\r\n" + picture + "--b1--\r\n")
}

// domain is the domain of the sender of a message: one of the domains that the
// zone has.
func domain(serial int) string { return fmt.Sprintf("d%d.example", serial%domains) }

// long is a message of n bytes: half of it text, half HTML.
func long(n int) []byte {
	const line = "Some words of a usual length stand in line %07d of this text, and so on.\r\n"
	const para = "<p>Some words in <b>paragraph %07d</b> of a <a href=\"https://www.example.net/a\">page</a>.</p>\r\n"
	var out bytes.Buffer
	out.WriteString("From: sender@d1.example\r\nTo: alice@example.org\r\nSubject: a long message\r\nDate: Fri, 20 Nov 2026 06:51:57 +0000\r\n" +
		"Message-ID: <long@d1.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n")
	for i := 0; out.Len() < n/2; i++ {
		fmt.Fprintf(&out, line, i)
	}
	out.WriteString("--b\r\nContent-Type: text/html\r\n\r\n")
	for i := 0; out.Len() < n; i++ {
		fmt.Fprintf(&out, para, i)
	}
	out.WriteString("--b--\r\n")
	return out.Bytes()
}
