package lmtpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/spool"
	"golang.org/x/sys/unix"
)

// transact takes one message from the client and delivers it. An error is the
// answer to every recipient that was not settled.
func (s *Server) transact(ctx context.Context, k *session, a *answers) error {
	cfg := k.snap.cfg
	buf := spool.New(cfg.SpoolDirectory, int64(cfg.SpoolMemory))
	defer buf.Close()
	if err := receive(k.conn, buf, cfg); err != nil {
		return err
	}
	top, err := buf.Head(int64(rawmsg.Default().HeaderBytes))
	if err != nil {
		return err
	}
	f, err := gather(ctx, s.verdicts, cfg.Hostname, top)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "delivery verdict not found", slog.String("session", k.tag()),
			slog.String("queue_id", f.QueueID), slog.Any("err", err))
	}
	places := make([]place, len(k.rcpts))
	for i, r := range k.rcpts {
		places[i] = decidePlace(f, r.addr)
	}
	a.note(f, places)
	top = s.top(ctx, k, f)
	k.deliverAll(ctx, a, func(ctx context.Context, i int) (maildir.Stored, error) {
		st, err := k.snap.mail.Deliver(ctx, maildir.Message{To: k.rcpts[i].user.Addr, Folder: places[i].folder, Header: top, Body: buf.Reader()})
		if err == nil && s.filed != nil && !st.IsZero() {
			s.filed.NoteFiled(st.Name(), st.Folder() == maildir.Junk)
		}
		return st, err
	})
	return nil
}

var errLost = errors.New("connection ended within a message")

// receive reads the message into buf.
func receive(c *conn, buf *spool.Buffer, cfg Config) error {
	w := c.gather
	w.Reset(buf)
	defer w.Reset(nil)
	readErr, err := c.readMessage(w, cfg)
	if readErr != nil {
		return fmt.Errorf("%w: %w", errLost, readErr)
	}
	if err == nil {
		err = w.Flush()
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = reply.WithError(reply.DiskFull, err)
	}
	return err
}

// top returns the fields for the top of each copy.
func (s *Server) top(ctx context.Context, k *session, f Facts) []byte {
	t := trace{MailFrom: k.mailFrom, Helo: k.lib.Hostname(), Hostname: k.snap.cfg.Hostname, ID: k.tag(), Date: time.Now()}
	if len(k.rcpts) == 1 {
		t.RcptTo = &k.rcpts[0].addr
	}
	b, err := t.fields()
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "trace field left out", slog.String("session", k.tag()),
			slog.String("queue_id", f.QueueID), slog.Any("err", err))
	}
	return b
}

// outcome is what one recipient got.
type outcome struct {
	// rcpt is the address as it was given; user the mailbox that it means.
	rcpt, user    string
	reply         reply.Reply
	verdict, rule string
	file          string
	facts         []journal.Fact
	err           error
	took          time.Duration
}

// tell counts, journals and logs one outcome.
func (s *Server) tell(k *session, f Facts, o outcome) {
	s.meter.Request("lmtpd", o.rule, o.took)
	rec := journal.Record{
		Time: time.Now(), Daemon: "lmtpd", Event: "deliver",
		QueueID: f.QueueID, MessageID: f.MessageID, Session: k.tag(), Helo: k.lib.Hostname(),
		User: o.user, MailFrom: k.mailFrom.String(), RcptTo: []string{o.rcpt},
		Verdict: o.verdict, Rule: o.rule, Reply: o.reply.String(), Score: f.Row.Score, Facts: o.facts, Took: o.took,
	}
	if o.file != "" {
		rec.Facts = append(rec.Facts, journal.Fact{Key: "file", Value: o.file})
	}
	s.journal.Record(rec)
	attrs := []slog.Attr{
		slog.String("session", k.tag()), slog.String("queue_id", f.QueueID), slog.String("helo", k.lib.Hostname()),
		slog.String("mail_from", rec.MailFrom), slog.String("rcpt_to", o.rcpt), slog.String("user", o.user),
		slog.String("rule", o.rule), slog.String("verdict", o.verdict), slog.String("reply", rec.Reply), slog.Duration("took", o.took),
	}
	level := slog.LevelInfo
	if o.err != nil {
		level = slog.LevelError // the disk, the account store, a panic
		if errors.Is(o.err, errLost) {
			level = slog.LevelWarn
		}
		attrs = append(attrs, slog.Any("err", o.err))
	}
	s.log.LogAttrs(k.conn.ctx, level, "recipient answered", attrs...)
}
