package redis

import (
	"errors"
	"log/slog"
	"net"
	"testing"

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
