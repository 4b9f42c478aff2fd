package milter

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"runtime/debug"
	"time"

	gomilter "github.com/emersion/go-milter"

	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/scan"
)

// session is what the library calls for one connection. It lives as long as the
// connection: the library asks for a new one after each final answer and gets
// this one again, so that a refused recipient does not forget who connected.
// All methods run in one goroutine.
type session struct {
	srv      *Server
	g        *guard
	listener scan.Direction
	id       string
	log      *slog.Logger
	// ctx ends with the grace time of Serve. It is kept because the library's
	// callbacks have none.
	ctx context.Context

	connect connectInfo
	// observed is what a ban would have answered the client if it were enforced.
	observed string
	helo     string
	msg      *message // nil between messages
	failed   bool     // a panic cost this message its judgement
}

var _ gomilter.Milter = (*session)(nil)

// on runs f for an event that is answered with continue, or not at all if the
// MTA waits for no answer. A panic is told at the end of the message: only
// there can one answer be for the whole of it.
func (s *session) on(f func()) gomilter.Response {
	if !s.failed || s.g.cur.Cmd == cmdMail {
		func() {
			defer s.recover()
			f()
		}()
	}
	if s.g.agreed.silent(s.g.cur.Cmd) {
		return nil
	}
	return gomilter.RespContinue
}

// recover is the one place where a panic ends.
func (s *session) recover() {
	if v := recover(); v != nil {
		s.failed = true
		s.log.LogAttrs(s.ctx, slog.LevelError, "panic in a session",
			slog.String("queue_id", s.g.macros.value("i")),
			slog.String("err", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
	}
}

// Connect begins an SMTP session, also after XCLIENT. A client that is banned
// gets its answer at once, where the MTA waits for one.
func (s *session) Connect(string, string, uint16, net.IP, *gomilter.Modifier) (gomilter.Response, error) {
	var r reply.Reply
	resp := s.on(func() {
		s.connect, s.helo = s.g.cur.Connect, ""
		r = s.admit()
	})
	if !r.IsZero() && resp != nil {
		return gomilter.NewResponseStr(byte(respReplyCode), replyText(r)), nil
	}
	return resp, nil
}

// Helo keeps the name; it comes again after STARTTLS.
func (s *session) Helo(string, *gomilter.Modifier) (gomilter.Response, error) {
	return s.on(func() { s.helo = s.g.cur.Strings[0] }), nil
}

// MailFrom begins a message. It takes the settings that hold for all of it.
func (s *session) MailFrom(string, *gomilter.Modifier) (gomilter.Response, error) {
	return s.on(func() {
		s.drop()
		s.msg = s.srv.newMessage(s, s.g.cur.Strings, time.Now())
	}), nil
}

// RcptTo adds a recipient.
func (s *session) RcptTo(string, *gomilter.Modifier) (gomilter.Response, error) {
	return s.on(func() { s.msg.addRcpt(s.g.cur.Strings) }), nil
}

// Header adds one header field.
func (s *session) Header(string, string, *gomilter.Modifier) (gomilter.Response, error) {
	return s.on(func() {
		s.msg.addField(s.g.cur.Name, s.g.cur.Value, s.g.agreed.Protocol&leadingSpace != 0)
		s.g.full = s.msg.bigHeader
	}), nil
}

// Headers ends the header.
func (s *session) Headers(textproto.MIMEHeader, *gomilter.Modifier) (gomilter.Response, error) {
	return s.on(func() { s.msg.endHeader() }), nil
}

// BodyChunk adds a piece of the body.
func (s *session) BodyChunk([]byte, *gomilter.Modifier) (gomilter.Response, error) {
	return s.on(func() { s.msg.addBody(s.g.cur.Data) }), nil
}

// Body judges the message. Nothing is sent before the answer is whole: the
// guard keeps the changes until the final reply.
func (s *session) Body(*gomilter.Modifier) (gomilter.Response, error) {
	defer s.drop()
	a := s.finish(time.Now())
	if !a.Reply.IsZero() {
		return gomilter.NewResponseStr(byte(respReplyCode), replyText(a.Reply)), nil
	}
	if a.Quarantine != "" {
		return gomilter.RespDiscard, nil // it is on the disk
	}
	for _, e := range a.Edits {
		s.apply(e)
	}
	if !a.Sender.IsNull() {
		s.changeSender(a.Sender)
	}
	return gomilter.RespAccept, nil
}

// Abort forgets the message and keeps the connection.
func (s *session) Abort(*gomilter.Modifier) error {
	s.drop()
	return nil
}

// drop frees the message.
func (s *session) drop() {
	if s.msg != nil {
		s.msg.close()
		s.msg = nil
	}
	s.failed = false
}

// apply hands one change to the guard.
func (s *session) apply(e edit) {
	value := e.Value
	if value != "" && s.g.agreed.Protocol&leadingSpace != 0 {
		value = " " + value
	}
	nul := []byte{0}
	field := [][]byte{[]byte(e.Name), nul, []byte(value), nul}
	if e.Op != respAddHeader {
		field = append([][]byte{binary.BigEndian.AppendUint32(nil, uint32(e.Index))}, field...)
	}
	s.g.edit(e.Op, field...)
}
