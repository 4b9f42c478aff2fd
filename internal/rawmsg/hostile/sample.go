package hostile

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

// Sample returns an ordinary message of about size bytes for benchmarks: text
// and HTML, and from 16 KB on an attachment of half its size.
func Sample(size int) []byte {
	var b bytes.Buffer
	for i := range 5 {
		fmt.Fprintf(&b, "Received: from mx%d.sender.example (mx%d.sender.example [198.51.100.%d])\r\n\tby mail.example.org (Postfix) with ESMTPS id 4Fz%d\r\n\tfor <bob@example.org>; Thu, 15 Jan 2026 11:00:0%d +0000 (UTC)\r\n", i, i, i+1, i, i)
	}
	b.WriteString("Date: Thu, 15 Jan 2026 11:00:00 +0000\r\nFrom: =?utf-8?q?Alice_L=C3=ADddell?= <alice@sender.example>\r\n" +
		"To: Bob <bob@example.org>\r\nSubject: =?utf-8?q?Minutes_of_the_meeting?=\r\nMessage-ID: <20260115110000.7@sender.example>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_outer\"\r\n\r\n" +
		"--=_outer\r\nContent-Type: multipart/alternative; boundary=\"=_inner\"\r\n\r\n--=_inner\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	text := size
	if size >= 16<<10 {
		text = size / 2
	}
	for b.Len() < text/3 {
		b.WriteString("The minutes of our meeting are ready, please read them before Friday, grüße.\r\n")
	}
	b.WriteString("--=_inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html><body>\r\n")
	for b.Len() < text {
		b.WriteString("<p style=3D\"color: black\">The minutes of <a href=3D\"https://sender.example/m=\r\n\">our meeting</a> are ready, please read them before Friday.</p>\r\n")
	}
	b.WriteString("</body></html>\r\n--=_inner--\r\n")
	if size > text {
		b.WriteString("--=_outer\r\nContent-Type: application/pdf; name=\"minutes.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		line := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1, 2, 250}, 19))
		for b.Len() < size {
			b.WriteString(line + "\r\n")
		}
	}
	b.WriteString("--=_outer--\r\n")
	return b.Bytes()
}
