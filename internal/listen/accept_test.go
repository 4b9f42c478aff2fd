package listen

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// faulty fails some times, has one connection, and then waits for the end.
type faulty struct {
	faults int
	conn   net.Conn
	ended  <-chan struct{}
}

func (f *faulty) Accept() (net.Conn, error) {
	if f.faults > 0 {
		f.faults--
		return nil, errors.New("too many open files")
	}
	if c := f.conn; c != nil {
		f.conn = nil
		return c, nil
	}
	<-f.ended
	return nil, net.ErrClosed
}
func (*faulty) Close() error   { return nil }
func (*faulty) Addr() net.Addr { return &net.UnixAddr{Name: "/run/x", Net: "unix"} }

func TestAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		ours, theirs := net.Pipe()
		defer ours.Close()
		var log bytes.Buffer
		got := make(chan net.Conn, 1)
		done := make(chan error)
		start := time.Now()
		go func() {
			done <- Accept(ctx, &faulty{faults: 12, conn: theirs, ended: ctx.Done()}, slog.New(slog.NewTextHandler(&log, nil)), func(c net.Conn) { got <- c })
		}()
		if c := <-got; c != theirs {
			t.Error("another connection was handed over")
		}
		// 5 ms doubled up to a second, and four of a second each.
		if took := time.Since(start); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("twelve faults took %v", took)
		}
		end()
		if err := <-done; err != nil {
			t.Errorf("Accept() = %v at the end", err)
		}
		if n := strings.Count(log.String(), "too many open files"); n != 12 {
			t.Errorf("%d faults are logged, want 12", n)
		}
	})
	closed := make(chan struct{})
	close(closed)
	if err := Accept(t.Context(), &faulty{ended: closed}, slog.New(slog.DiscardHandler), func(net.Conn) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept() of a closed listener = %v", err)
	}
}
