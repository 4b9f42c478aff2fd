package milter

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// quarantiner keeps a message before Postfix is told to discard it (package
// quarantine). An error carries the reply for the sender.
type quarantiner interface {
	Put(ctx context.Context, e quarantine.Entry, msg io.Reader) (id string, err error)
}

// quarantineTimeout is for writing a message into quarantine. It has to be below
// Postfix's milter_content_timeout (300s), together with Config.MessageTimeout.
const quarantineTimeout = time.Minute

// maxShownField bounds the header fields that lists of the quarantine show.
const maxShownField = 300

// noQuarantine returns why the message cannot be put into quarantine, "" when it
// can. Who is not known cannot get it later.
func (s *session) noQuarantine() string {
	m := s.msg
	switch {
	case s.srv.deps.Quarantine == nil:
		return "there is no quarantine"
	case m.rcpts > len(m.rcptTo):
		return "it has more recipients than are remembered"
	case m.oddRcpt:
		return "a recipient's address is not UTF-8"
	case m.buf.Size() != m.size:
		return "not all of it was kept"
	}
	return ""
}

// quarantine keeps the message and returns its id there. After an error nothing
// is kept.
func (s *session) quarantine(f facts, d decision) (id string, err error) {
	e, err := s.entry(f, d)
	if err == nil {
		ctx, cancel := context.WithTimeout(s.ctx, quarantineTimeout)
		defer cancel()
		id, err = s.srv.deps.Quarantine.Put(ctx, e, s.msg.reader())
	}
	if err != nil {
		s.log.LogAttrs(s.ctx, slog.LevelError, "message not put into quarantine, its sender has to try again",
			slog.String("queue_id", e.QueueID), slog.Any("err", err))
	}
	return id, err
}

// entry is what is kept beside the message.
func (s *session) entry(f facts, d decision) (quarantine.Entry, error) {
	m := s.msg
	e := quarantine.Entry{
		QueueID: s.g.macros.value("i"), Arrived: m.arrived,
		Client:   quarantine.Client{Addr: s.connect.Addr, Name: s.clientName(), Helo: s.helo},
		MailFrom: bracketless(m.mailFrom), RcptTo: m.paths(),
		Discard: d.Discard, Size: m.size,
	}
	if f.Scan != nil {
		e.Score, e.Lines = f.Scan.Score, f.Scan.Lines
	}
	head, err := m.buf.Head(m.headerEnd)
	if err != nil {
		return e, err
	}
	raw := rawmsg.Scan(head, rawmsg.Default())
	shown := func(name string) string {
		v, _ := raw.First(name)
		return cutText(header.DecodeText(v), maxShownField)
	}
	e.Header = quarantine.Header{From: shown("From"), Subject: shown("Subject"), MessageID: shown("Message-ID")}
	for _, r := range f.Forged {
		e.Edits.Cut = append(e.Edits.Cut, quarantine.Span{Start: r.Start, End: r.End})
	}
	e.Edits.AuthResults, err = authResults(m.cfg, f)
	return e, err
}

// bracketless returns a path as typed without its brackets.
func bracketless(path string) string {
	return strings.TrimSuffix(strings.TrimPrefix(path, "<"), ">")
}

// cutText cuts s to at most n bytes of whole characters.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
