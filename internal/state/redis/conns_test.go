package redis

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/deadline"
	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// TestInterrupt: who waits for a server that says nothing is told at once, by an
// error that is not that of a late answer.
func TestInterrupt(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	heard := make(chan net.Conn, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		if err != nil {
			t.Error(err)
		}
		heard <- conn
	}()
	cfg := Default()
	cfg.Addresses = []string{ln.Addr().String()}
	s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Take(t.Context(), "k", 1, 1, state.MaxWindow)
		ended <- err
	}()
	conn := <-heard
	defer conn.Close()
	s.Interrupt()
	var late net.Error
	if err := <-ended; !errors.Is(err, net.ErrClosed) || errors.As(err, &late) && late.Timeout() {
		t.Errorf("Take() = %v, want a closed connection", err)
	}
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	if n := len(s.conns.open); n != 0 {
		t.Errorf("%d connections are known still", n)
	}
}

// TestDeadlineOfConnects: servers that take connections and say nothing hold nobody
// longer than his deadline, wherever the client waits for them.
func TestDeadlineOfConnects(t *testing.T) {
	const wait, slack = 250 * time.Millisecond, 100 * time.Millisecond
	for _, tc := range []struct {
		name        string
		nodes, asks int
		secure, ask bool
	}{
		{"one server, more requests than connections", 1, 64, true, false},
		{"Cluster", 3, 1, false, false},
		{"Cluster with TLS", 3, 1, true, false},
		{"large Cluster, asked only", 6, 1, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Default()
			for range tc.nodes {
				ln, err := net.Listen("tcp4", "127.0.0.1:0") // the kernel connects, nobody accepts
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				cfg.Addresses = append(cfg.Addresses, ln.Addr().String())
			}
			cfg.TLS.Enable = tc.secure
			s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var all sync.WaitGroup
			for range tc.asks {
				all.Go(func() {
					began := time.Now()
					ctx := deadline.New(t.Context(), began.Add(wait))
					defer ctx.Stop()
					_, err := s.TakeAll(ctx, []state.Claim{{Key: "k", N: 1, Max: 10, Window: time.Hour}}, tc.ask)
					if took := time.Since(began); err == nil || took > wait+slack {
						t.Errorf("TakeAll() = %v after %v", err, took)
					}
				})
			}
			all.Wait()
		})
	}
}

// looks counts who waits for a context.
type looks struct {
	context.Context
	n atomic.Int64
}

func (c *looks) Done() <-chan struct{} {
	c.n.Add(1)
	return c.Context.Done()
}

// TestNobodyWaitsForAnIdleConnection: a command on an idle connection makes no
// timer.
func TestNobodyWaitsForAnIdleConnection(t *testing.T) {
	s := openLab(t, redistest.Single(t), t.Name())
	ctx := &looks{Context: t.Context()}
	for i := range 3 {
		ctx.n.Store(0)
		if _, err := s.Take(ctx, "k", 1, 10, time.Hour); err != nil {
			t.Fatal(err)
		}
		if n := ctx.n.Load(); i > 0 && n != 0 {
			t.Errorf("command %d looked %d times", i, n)
		}
	}
}
