package policy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// connections is how many a busy Dovecot has.
const connections = 16

// raw is a request as Dovecot writes it.
func raw(addr string) []byte {
	return fmt.Appendf(nil, "POST /?command=allow HTTP/1.1\r\nHost: %s\r\nDate: Fri, 20 Nov 2026 06:47:20 GMT\r\n"+
		"User-Agent: dovecot/auth-policy-client\r\nContent-Length: %d\r\nConnection: Keep-Alive\r\nContent-Type: application/json\r\n"+
		"X-API-Key:  %s\r\n\r\n%s", addr, len(alice), key, alice)
}

// drive sends b.N requests over 16 connections and reads each answer.
func drive(b *testing.B, addr string) {
	b.Helper()
	b.ReportAllocs()
	conns := make([]net.Conn, connections)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	req := raw(addr)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range conns {
		n := b.N / connections
		if i < b.N%connections {
			n++
		}
		wg.Go(func() {
			r := bufio.NewReader(c)
			for range n {
				if err := once(c, r, req); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}

// once asks, and reads the answer without net/http's client, whose cost is not
// what is measured.
func once(c net.Conn, r *bufio.Reader, req []byte) error {
	if _, err := c.Write(req); err != nil {
		return err
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if n, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if _, err := fmt.Sscanf(n, "%d", &length); err != nil {
				return err
			}
		}
	}
	if length == 0 {
		return io.ErrUnexpectedEOF
	}
	_, err := r.Discard(length)
	return err
}

func BenchmarkAllow(b *testing.B) {
	drive(b, start(b, nil).addr)
}

// BenchmarkEmpty is a server of net/http that reads the body and answers the
// same: what BenchmarkAllow is held against.
func BenchmarkEmpty(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		send(w, replyGoOn)
	})}
	done := make(chan error)
	go func() { done <- srv.Serve(ln) }()
	drive(b, ln.Addr().String())
	_ = srv.Shutdown(context.Background())
	<-done
}
