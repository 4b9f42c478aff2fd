package dnstest

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/miekg/dns"
)

// Server answers from a Zone.
type Server struct {
	addr string
	udp  *dns.Server
	tcp  *dns.Server
	wg   sync.WaitGroup
}

// Start answers from zone on addr ("127.0.53.1:53"; port 0 picks a free one),
// over UDP and TCP, until Close.
func Start(addr string, zone *Zone) (*Server, error) {
	pc, ln, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("start dns server: %w", err)
	}
	s := &Server{addr: pc.LocalAddr().String()}
	s.udp = &dns.Server{PacketConn: pc, Handler: handler("udp", zone), ReusePort: false}
	s.tcp = &dns.Server{Listener: ln, Handler: handler("tcp", zone)}
	for _, srv := range []*dns.Server{s.udp, s.tcp} {
		ready := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(ready) }
		s.wg.Go(func() { _ = srv.ActivateAndServe() })
		<-ready
	}
	return s, nil
}

// listen opens both sockets on one port.
func listen(addr string) (net.PacketConn, net.Listener, error) {
	var errs error
	for range 20 {
		pc, err := net.ListenPacket("udp", addr)
		if err != nil {
			return nil, nil, err
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln, nil
		}
		// The free UDP port that was picked may be taken for TCP.
		errs = errors.Join(errs, err, pc.Close())
	}
	return nil, nil, errs
}

// Addr returns the address with its port.
func (s *Server) Addr() string { return s.addr }

// Close stops the server and waits for it.
func (s *Server) Close() error {
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.wg.Wait()
	return err
}

// handler answers queries that came over network.
func handler(network string, z *Zone) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		if len(q.Question) != 1 {
			m.Rcode = dns.RcodeFormatError
			_ = w.WriteMsg(m)
			return
		}
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		fault := z.note(network, q.Question[0])
		m.Authoritative = fault != Lame
		m.AuthenticatedData = q.AuthenticatedData && z.validated(q.Question[0])
		switch {
		case fault == Timeout:
			return
		case fault == ServFail:
			m.Rcode = dns.RcodeServerFailure
		case fault == Refused:
			m.Rcode = dns.RcodeRefused
		case fault == NoEDNS && q.IsEdns0() != nil:
			m.Rcode = dns.RcodeFormatError
		case fault == Truncate && network == "udp":
			m.Truncated = true
		default:
			z.answer(m, q.Question[0])
		}
		if network == "udp" {
			if fault == Stray {
				stray(w, m)
			}
			m.Truncate(size)
		}
		_ = w.WriteMsg(m)
	}
}

// stray sends what a forger would: a wrong id, a wrong question, garbage.
func stray(w dns.ResponseWriter, m *dns.Msg) {
	id := m.Copy()
	id.Id++
	id.Answer = nil
	name := m.Copy()
	name.Question[0].Name = "forged.invalid."
	name.Answer = nil
	_, _ = w.Write([]byte{1})
	_ = w.WriteMsg(id)
	_ = w.WriteMsg(name)
}
