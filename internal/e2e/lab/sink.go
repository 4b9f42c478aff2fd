//go:build linux

package lab

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Sink is the next hop: a mail server for example.net that keeps what it
// gets, byte by byte. Recipients whose local part is "refused" get 550.
type Sink struct {
	srv *smtp.Server
	wg  sync.WaitGroup

	mu  sync.Mutex
	got []Captured // guarded by mu
}

// Captured is one message as the next hop received it.
type Captured struct {
	Client   string // the address that it came from
	Helo     string
	MailFrom string
	RcptTo   []string
	Data     []byte // with CRLF, without dot-stuffing
}

func newSink(addrs ...string) (*Sink, error) {
	s := &Sink{}
	s.srv = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &sinkSession{sink: s, conn: c}, nil
	}))
	s.srv.Domain = "mx.example.net"
	s.srv.ReadTimeout, s.srv.WriteTimeout = time.Minute, time.Minute
	s.srv.MaxLineLength = 1 << 20
	s.srv.EnableSMTPUTF8 = true
	for _, a := range addrs {
		ln, err := net.Listen("tcp", net.JoinHostPort(a, "25"))
		if err != nil {
			s.close()
			return nil, err
		}
		s.wg.Go(func() { s.srv.Serve(ln) })
	}
	return s, nil
}

func (s *Sink) close() {
	s.srv.Close()
	s.wg.Wait()
}

// Messages returns what has arrived so far.
func (s *Sink) Messages() []Captured {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Captured(nil), s.got...)
}

// Await waits until a message that contains text has arrived.
func (l *Lab) Await(text string) (Captured, error) {
	var found Captured
	err := l.Until(fmt.Sprintf("a message with %q at the next hop", text), func() error {
		for _, m := range l.NextHop.Messages() {
			if strings.Contains(string(m.Data), text) {
				found = m
				return nil
			}
		}
		return fmt.Errorf("%d other messages there", len(l.NextHop.Messages()))
	})
	return found, err
}

type sinkSession struct {
	sink *Sink
	conn *smtp.Conn
	msg  Captured
}

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	host, _, _ := net.SplitHostPort(s.conn.Conn().RemoteAddr().String())
	s.msg = Captured{Client: host, Helo: s.conn.Hostname(), MailFrom: from}
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "refused@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"}
	}
	s.msg.RcptTo = append(s.msg.RcptTo, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.msg.Data = b
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.got = append(s.sink.got, s.msg)
	return nil
}

func (s *sinkSession) Reset()        { s.msg = Captured{} }
func (s *sinkSession) Logout() error { return nil }
