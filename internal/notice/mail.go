package notice

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/outgoing"
)

// mailOf returns a message to one reader. Its reverse-path is null, and it says
// that no person wrote it (RFC 3834), so that no robot answers.
func mailOf(from, to mailaddr.Address, host, text string, now time.Time) (outgoing.Mail, error) {
	subject, body := split(text)
	id := "<" + rand.Text() + "@" + host + ">"
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Gatepost <%s>\r\nTo: <%s>\r\nSubject: %s\r\n", from, to, encode(subject))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: %s\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n", now.Format(time.RFC1123Z), id)
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(strings.TrimRight(body, "\n") + "\n")); err != nil {
		return outgoing.Mail{}, fmt.Errorf("write notice: %w", err)
	}
	if err := w.Close(); err != nil {
		return outgoing.Mail{}, fmt.Errorf("write notice: %w", err)
	}
	return outgoing.Mail{Kind: outgoing.Notice, RcptTo: []mailaddr.Address{to}, MessageID: id, Raw: b.Bytes()}, nil
}

// encode writes a subject, folded where it is encoded (RFC 2047).
func encode(s string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), " =?", "\r\n =?")
}
