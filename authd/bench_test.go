package authd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/password"
)

// bench runs b's loop over 16 connections, each with one request at a time.
// It hands out so many at once as batch says.
func bench(b *testing.B, socket string, handshake bool, batch int) {
	const conns = 16
	var wg sync.WaitGroup
	b.ReportAllocs()
	next := make(chan int)
	for range conns {
		c, err := net.Dial("unix", socket)
		if err != nil {
			b.Fatal(err)
		}
		r := bufio.NewReader(c)
		if handshake {
			if _, err := io.WriteString(c, "VERSION\t1\t0\nCPID\t1\n"); err != nil {
				b.Fatal(err)
			}
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					b.Fatal(err)
				}
				if line == "DONE\n" {
					break
				}
			}
		}
		wg.Go(func() {
			defer func() { _ = c.Close() }()
			id := 0
			for n := range next {
				for range n {
					id++
					if _, err := io.WriteString(c, plain(fmt.Sprint(id), alice, "wonderland")+"\n"); err != nil {
						b.Error(err)
						return
					}
					line, err := r.ReadSlice('\n')
					if err != nil || !bytes.HasPrefix(line, []byte("OK\t")) {
						b.Errorf("%q, %v", line, err)
						return
					}
				}
			}
		})
	}
	start, used := time.Now(), cpu(b)
	left := b.N
	b.ResetTimer()
	for left > 0 {
		n := min(left, batch)
		next <- n
		left -= n
	}
	close(next)
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "logins/s")
	// On a busy machine this is the figure to compare.
	b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "cpu-ns/op")
}

// cpu returns the processor time of this process: server, client and journal.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAuthPlain: repeated logins, 16 connections, shipped configuration.
func BenchmarkAuthPlain(b *testing.B) {
	w := startWhole(b, guard.Default(), nil)
	p := w.dial(b)
	p.send(plain("1", alice, "wonderland"))
	p.want("OK\t1\tuser=" + alice)
	bench(b, w.socket, true, 64)
}

// quietConn is a connection that takes what is written.
type quietConn struct{ net.Conn }

func (quietConn) Write(b []byte) (int, error)      { return len(b), nil }
func (quietConn) SetWriteDeadline(time.Time) error { return nil }
func (quietConn) Close() error                     { return nil }

// BenchmarkAuthOwn is what a repeated login costs without a peer and its sockets:
// all that is ours of BenchmarkAuthPlain.
func BenchmarkAuthOwn(b *testing.B) {
	w := startWhole(b, guard.Default(), nil)
	p := w.dial(b)
	p.send(plain("1", alice, "wonderland"))
	p.want("OK\t1\tuser=" + alice)
	conn := quietConn{}
	ss := w.srv.newSession(conn, Client, &line{conn: conn, ctxDone: b.Context().Done()})
	ss.hello, ss.pid = true, 1
	text := []byte(plain("1", alice, "wonderland"))
	b.ReportAllocs()
	for b.Loop() {
		l, err := parseClient(text)
		if err != nil {
			b.Fatal(err)
		}
		if err := ss.handle(b.Context(), l); err != nil {
			b.Fatal(err)
		}
		if err := ss.sendAll(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAuthFirst: logins that each take one hash of the default scheme, which
// is all that they should take: the anchor is the bare hash on every core.
func BenchmarkAuthFirst(b *testing.B) {
	w := startWhole(b, guard.Default(), func(c *Config) { c.CacheTime = 0 })
	bench(b, w.socket, true, 1)
}

// BenchmarkAuthBareHash is the anchor of BenchmarkAuthFirst.
func BenchmarkAuthBareHash(b *testing.B) {
	hash, err := password.Hash(password.Default, []byte("wonderland"))
	if err != nil {
		b.Fatal(err)
	}
	pool := password.NewPool(1 << 30)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if ok, err := pool.Verify(b.Context(), hash, []byte("wonderland")); !ok || err != nil {
				b.Error(ok, err)
			}
		}
	})
}

// BenchmarkAuthBareServer is the anchor: a server that answers each line.
func BenchmarkAuthBareServer(b *testing.B) {
	socket := filepath.Join(b.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				r := bufio.NewReaderSize(c, maxClientLine)
				for {
					if _, err := r.ReadSlice('\n'); err != nil {
						return
					}
					if _, err := io.WriteString(c, "OK\t1\tuser="+alice+"\n"); err != nil {
						return
					}
				}
			})
		}
	})
	bench(b, socket, false, 64)
	_ = ln.Close()
	wg.Wait()
}
