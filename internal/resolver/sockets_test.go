package resolver

import (
	"context"
	"net"
	"testing"

	"github.com/miekg/dns"
)

// TestSocketAfterRestart: a server on this host that was started anew answers
// the next question, over a new socket; a question that was given up takes its
// socket along, and its late answer answers nobody.
func TestSocketAfterRestart(t *testing.T) {
	s := &sockets{idle: map[string][]*dns.Conn{}}
	serve := func(addr string) (string, *dns.Server) {
		t.Helper()
		pc, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		ready := make(chan struct{})
		srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if q.Question[0].Name == "never.example." {
				return
			}
			_ = w.WriteMsg(new(dns.Msg).SetReply(q))
		})}
		go func() { _ = srv.ActivateAndServe() }()
		<-ready
		return pc.LocalAddr().String(), srv
	}
	ask := func(ctx context.Context, addr, name string) error {
		q := query(key{name: name, rtype: dns.TypeA}, true, true, false)
		_, err := s.exchange(ctx, "udp", addr, q)
		return err
	}
	addr, srv := serve("127.0.0.1:0")
	for range 3 {
		if err := ask(t.Context(), addr, "a.example."); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.idle[addr]); n != 1 {
		t.Errorf("%d sockets are kept after three questions in turn, want 1", n)
	}
	if err := srv.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if err := ask(t.Context(), addr, "a.example."); err == nil {
		t.Error("a server that is gone answers")
	}
	_, srv = serve(addr)
	defer func() { _ = srv.Shutdown() }()
	if err := ask(t.Context(), addr, "a.example."); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	_ = srv.Shutdown()
	_, srv = serve(addr)
	if err := ask(t.Context(), addr, "a.example."); err != nil {
		t.Errorf("after a second restart, with a socket at hand: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ask(ctx, addr, "never.example."); err == nil {
		t.Error("a question that was given up has an answer")
	}
	if n := len(s.idle[addr]); n != 0 {
		t.Errorf("%d sockets are kept after a question without answer, want 0", n)
	}
}
