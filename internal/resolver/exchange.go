package resolver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the EDNS buffer that no path cuts to pieces (DNS Flag Day 2020).
const udpSize = 1232

// maxStray bounds the datagrams that are read past while waiting for the
// answer to one question.
const maxStray = 64

// errNoAnswer is when no server said yes or no.
var errNoAnswer = errors.New("no server answered")

// ask puts one question to the servers in turn until one of them says yes or
// no: NOERROR or NXDOMAIN. Every other code is that server's trouble. asked says
// that the first server has had its first turn.
func (r *Resolver) ask(ctx context.Context, k key, asked bool) (*dns.Msg, error) {
	last := errNoAnswer
	for range r.cfg.Attempts {
		for _, server := range r.servers {
			if asked {
				asked = false
				continue
			}
			m, err := r.try(ctx, server, k, true)
			if err == nil {
				return m, nil
			}
			last = fmt.Errorf("ask %s: %w", server, err)
			if ctx.Err() != nil {
				return nil, last
			}
		}
	}
	return nil, last
}

// try puts one question to one server: with EDNS, without it for a server
// that does not know it, and over TCP when the answer was cut. With recurse the
// server is to ask others. AuthenticatedData of the answer is set only when the
// server may be believed.
func (r *Resolver) try(ctx context.Context, server string, k key, recurse bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout.Std())
	defer cancel()
	edns, ad := true, recurse && r.cfg.trusts(server)
	ask := func(network string) (*dns.Msg, error) {
		return r.exchange(ctx, network, server, query(k, edns, recurse, ad))
	}
	m, err := ask("udp")
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented || m.Rcode == dns.RcodeBadVers) {
		edns = false
		m, err = ask("udp")
	}
	if err == nil && m.Truncated {
		m, err = ask("tcp")
	}
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, errors.New(dns.RcodeToString[m.Rcode])
	}
	m.AuthenticatedData = m.AuthenticatedData && ad
	return m, nil
}

// query builds the question k with an id of its own. With ad it asks to be told
// whether the answer is validated (RFC 6840 §5.7); signatures, which DO would
// bring along, are of no use here.
func query(k key, edns, recurse, ad bool) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(k.name, k.rtype)
	m.RecursionDesired, m.AuthenticatedData = recurse, ad
	if edns {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// exchange is one question and its answer on the wire, over a connection of its
// own.
func exchange(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	conn, err := dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return talk(ctx, network, conn, q)
}

func dial(ctx context.Context, network, server string) (*dns.Conn, error) {
	client := dns.Client{Net: network, UDPSize: udpSize}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	conn.UDPSize = udpSize
	return conn, nil
}

// talk puts q and reads its answer. Datagrams that do not answer q are passed
// over: else whoever can send one could make us fail. After an error conn is of
// no use.
func talk(ctx context.Context, network string, conn *dns.Conn, q *dns.Msg) (*dns.Msg, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	m, err := answerOn(ctx, network, conn, q)
	if !stop() && err == nil {
		// The deadline of conn is over, or will be at any moment.
		return nil, ctx.Err()
	}
	return m, err
}

func answerOn(ctx context.Context, network string, conn *dns.Conn, q *dns.Msg) (*dns.Msg, error) {
	if err := conn.WriteMsg(q); err != nil {
		return nil, wireErr(ctx, err)
	}
	for range maxStray {
		m, err := conn.ReadMsg()
		switch {
		case m != nil && (err == nil || m.Truncated) && answers(m, q):
			// What was cut may not end where a record does.
			return m, nil
		case network == "tcp" && err == nil:
			return nil, errors.New("answer to another question")
		case network == "tcp" || m == nil && !errors.Is(err, dns.ErrShortRead):
			return nil, wireErr(ctx, err)
		}
	}
	return nil, errors.New("too many stray answers")
}

// wireErr prefers the reason that the context has.
func wireErr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// answers reports whether m is the answer to q (RFC 5452 §9.1).
func answers(m, q *dns.Msg) bool {
	a := q.Question[0]
	return answersKey(m, q.Id, key{fold(a.Name), a.Qtype})
}

// answersKey reports whether m is the answer to the question k with id.
func answersKey(m *dns.Msg, id uint16, k key) bool {
	if !m.Response || m.Id != id || m.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(m.Question) == 0 {
		// A server that cannot read the question leaves it out.
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	a := m.Question[0]
	return len(m.Question) == 1 && a.Qtype == k.rtype && a.Qclass == dns.ClassINET && fold(a.Name) == k.name
}
