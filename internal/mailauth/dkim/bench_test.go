package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// prose returns about n octets of text in lines of ordinary length.
func prose(n int) []byte {
	const line = "The quick brown fox jumps over the lazy dog, and it does so again today.\r\n"
	const code = "    if (a == b)  {\treturn \t1;   }  \r\n"
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		switch {
		case i%40 == 39:
			b.WriteString(code)
		case i%7 == 6:
			b.WriteString("\r\n")
		default:
			b.WriteString(line)
		}
	}
	return b.Bytes()[:n]
}

func encoded(n int) []byte {
	return bytes.Repeat([]byte(strings.Repeat("aGVs", 19)+"\r\n"), n/78)
}

func BenchmarkBody(b *testing.B) {
	for _, text := range []struct {
		name string
		body []byte
	}{
		{"text", prose(1 << 20)}, {"base64", encoded(1 << 20)},
		{"CRLF", bytes.Repeat([]byte("\r\n"), 1<<19)},
		{"blanks", bytes.Repeat([]byte("a  "), 1<<18)},
	} {
		for _, c := range []Canon{Simple, Relaxed} {
			for _, hashed := range []bool{false, true} {
				name := fmt.Sprintf("%s/%s", text.name, c)
				if hashed {
					name += "/sha256"
				}
				b.Run(name, func(b *testing.B) {
					b.SetBytes(int64(len(text.body)))
					b.ReportAllocs()
					for b.Loop() {
						var w io.Writer = io.Discard
						if hashed {
							w = sha256.New()
						}
						c := NewBody(w, c)
						for p := text.body; len(p) > 0; {
							n := min(32<<10, len(p))
							_, _ = c.Write(p[:n])
							p = p[n:]
						}
						_ = c.Close()
					}
				})
			}
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"rsa", "ed25519"} {
		for _, kb := range []int{2, 20, 200} {
			b.Run(fmt.Sprintf("%s/%dKB", alg, kb), func(b *testing.B) {
				msg := signed(b, testHeader, prose(kb<<10), testKey(b, alg), nil)
				b.SetBytes(int64(len(msg)))
				b.ReportAllocs()
				raw := rawmsg.Scan(msg, rawmsg.Default())
				for b.Loop() {
					m := NewMessage(raw)
					keys := NewKeys(zone)
					v := Start(context.Background(), m, keys, time.Now())
					_ = m.ReadBody(context.Background(), bytes.NewReader(msg))
					if r := v.Results(); r[0].Result != "pass" {
						b.Fatal(r[0].Reason)
					}
				}
			})
		}
	}
}
