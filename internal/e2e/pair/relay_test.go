//go:build linux && e2e

package pair

import (
	"io"
	"net"
	"sync"
	"testing"
)

// wire is a TCP connection's way to a server that a test can cut: what is on the
// way then is lost, and new connections are refused.
type wire struct {
	addr, to string

	mu    sync.Mutex // guards the fields below
	ln    net.Listener
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	w := &wire{addr: "127.0.0.1:0", to: to, conns: map[net.Conn]bool{}}
	w.mend(t)
	t.Cleanup(func() { w.cut(); w.done.Wait() })
	return w
}

// mend lets connections through.
func (w *wire) mend(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.addr, w.ln = ln.Addr().String(), ln
	w.mu.Unlock()
	w.done.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", w.to)
			if err != nil {
				_ = from.Close()
				continue
			}
			w.join(from, to)
		}
	})
}

func (w *wire) join(from, to net.Conn) {
	w.mu.Lock()
	w.conns[from], w.conns[to] = true, true
	w.mu.Unlock()
	pass := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src)
		_, _ = dst.Close(), src.Close()
		w.mu.Lock()
		delete(w.conns, src)
		w.mu.Unlock()
	}
	w.done.Go(func() { pass(from, to) })
	w.done.Go(func() { pass(to, from) })
}

// cut ends all connections and refuses new ones.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.ln.Close()
	for c := range w.conns {
		_ = c.Close()
	}
}
