package lmtpd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/spool"
	"github.com/gatepost/gatepost/internal/verdict"
	"github.com/gatepost/gatepost/lmtpd/filter"
	"golang.org/x/sys/unix"
)

// transact takes one message from the client and delivers it. An error is the
// answer to every recipient that was not settled.
func (s *Server) transact(ctx context.Context, k *session, a *answers) error {
	cfg := k.snap.cfg
	buf, free := k.snap.bufs.take(k.size)
	defer free()
	sum := sha256.New()
	if err := receive(k.conn, buf, sum, cfg); err != nil {
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
	s.unseal(ctx, k, &f, buf.Reader)
	places := make([]place, len(k.rcpts))
	for i, r := range k.rcpts {
		places[i] = decidePlace(cfg.Folders, f, r.addr, r.detail)
	}
	a.note(f, places)
	m := maildir.Message{Header: s.top(ctx, k, f), Body: unsealed(buf, top), Subscribe: cfg.Folders.Autosubscribe}
	if len(k.rcpts) > 1 {
		m.Share = k.snap.mail.Share()
		defer s.closeShare(ctx, k, m.Share)
	}
	k.deliverAll(ctx, a, func(ctx context.Context, i int) (maildir.Stored, error) {
		m := m
		if f.QueueID != "" {
			m.Source = source(f, k.rcpts[i].addr, sum)
		}
		return s.deliver(ctx, k, f, i, &places[i], m)
	})
	return nil
}

// source is what makes the copy of a message for rcpt the same when Postfix
// tries again.
func source(f Facts, rcpt mailaddr.Address, content hash.Hash) maildir.Source {
	return maildir.Source{Arrived: f.Arrived, Key: maildir.NewKey(
		f.QueueID, f.Arrived.UTC().Format(time.RFC3339), rcpt.Folded().String(), string(content.Sum(nil)))}
}

// deliver writes the copy m for the i-th recipient to its place.
func (s *Server) deliver(ctx context.Context, k *session, f Facts, i int, p *place, m maildir.Message) (maildir.Stored, error) {
	cfg, rcpt := k.snap.cfg, k.rcpts[i]
	if r, rule := decideLoop(f, cfg.HopcountLimit, rcpt.addr); !r.IsZero() {
		return maildir.Stored{}, refusal{r, rule}
	}
	m.To, m.Folder, m.NoCreate = rcpt.user.Addr, p.folder, p.optional && !cfg.Folders.Autocreate
	m.Quota = maildir.Quota{Keep: cfg.Quota.Driver == DriverMaildir, Bytes: rcpt.user.Quota}
	if s.filter != nil {
		if plan := s.filter.Plan(ctx, filterMessage(k, f, i, m)); plan != nil {
			return s.carryOut(ctx, k, f, plan, p, m)
		}
	}
	return s.write(ctx, k, p.optional, m)
}

// filterMessage is m as a script's Filter sees it. What another host judged counts
// as not scanned there: the fields by which a script learns who the sender is may
// have our name on them and be a stranger's, which that host left in.
func filterMessage(k *session, f Facts, i int, m maildir.Message) filter.Message {
	rcpt := k.rcpts[i]
	return filter.Message{
		User: rcpt.user, RcptTo: rcpt.addr, MailFrom: k.returnPath, Source: m.Source, Folder: m.Folder, NoCreate: m.NoCreate,
		Scanned: f.Scanned && f.ScannedBy == "", Marked: f.Scanned && f.Row.For(rcpt.addr.String()) >= verdict.Mark, Score: f.Row.Score,
		Top: m.Header, Body: m.Body,
	}
}

// carryOut does what scripts decided: what is sent is safe before the copies are
// written, and what is remembered comes last, so that a second try of the
// message does what is missing.
func (s *Server) carryOut(ctx context.Context, k *session, f Facts, plan *filter.Plan, p *place, m maildir.Message) (st maildir.Stored, err error) {
	s.filter.Send(ctx, plan)
	p.rule, p.plan = ruleSieve, plan
	for _, c := range plan.Copies {
		cm := m
		cm.Folder, cm.NoCreate, cm.Flags, cm.Source = c.Folder, !c.Create, c.Flags, c.Source
		if c.Content != nil {
			cm.Header, cm.Share, cm.Body = nil, nil, func() io.Reader { return bytes.NewReader(c.Content) }
		}
		if st, err = s.write(ctx, k, true, cm); err != nil {
			return st, err
		}
	}
	if err := errors.Join(plan.Err, s.filter.Done(ctx, plan)); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "filter had trouble", slog.String("session", k.tag()),
			slog.String("queue_id", f.QueueID), slog.String("user", m.To.String()), slog.Any("err", err))
	}
	switch {
	case !plan.Refuse.IsZero():
		return st, refusal{plan.Refuse, ruleSieve}
	case st.IsZero():
		return st, refusal{replyFiltered, ruleSieve}
	}
	return st, nil
}

// write writes one copy; optional says that the inbox will do where the folder
// cannot be had.
func (s *Server) write(ctx context.Context, k *session, optional bool, m maildir.Message) (maildir.Stored, error) {
	st, err := k.snap.mail.Deliver(ctx, m)
	if optional && noSuchFolder(err) {
		m.Folder = maildir.Inbox
		st, err = k.snap.mail.Deliver(ctx, m)
	}
	if err == nil && s.filed != nil && !st.IsZero() {
		s.filed.NoteFiled(st.Name(), st.Folder() == maildir.Junk)
	}
	return st, err
}

// noSuchFolder reports whether err says that a folder cannot be had.
func noSuchFolder(err error) bool {
	return errors.Is(err, maildir.ErrNoFolder) || errors.Is(err, maildir.ErrLayout) || errors.Is(err, maildir.ErrUnsafe)
}

func (s *Server) closeShare(ctx context.Context, k *session, h *maildir.Share) {
	if err := h.Close(); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "file left in tmp", slog.String("session", k.tag()), slog.Any("err", err))
	}
}

var errLost = errors.New("connection ended within a message")

// receive reads the message into buf, and its bytes into sum.
func receive(c *conn, buf *spool.Buffer, sum io.Writer, cfg Config) error {
	w := c.gather
	w.Reset(io.MultiWriter(buf, sum))
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
	t := trace{With: k.snap.cfg.Headers, MailFrom: k.mailFrom, ReturnPath: k.returnPath, Helo: k.lib.Hostname(), Hostname: k.snap.cfg.Hostname, ID: k.tag(), Date: time.Now()}
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
	// problem is what went wrong beside a delivery.
	problem error
	took    time.Duration
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
	if o.problem != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("err", o.problem))
	}
	if o.err != nil {
		level = slog.LevelError // the disk, the account store, a panic
		if errors.Is(o.err, errLost) {
			level = slog.LevelWarn
		}
		attrs = append(attrs, slog.Any("err", o.err))
	}
	s.log.LogAttrs(k.conn.ctx, level, "recipient answered", attrs...)
}
