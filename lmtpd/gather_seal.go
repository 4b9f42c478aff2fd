package lmtpd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/seal"
	"github.com/gatepost/gatepost/internal/verdict"
)

// unsealer proves the verdict that another host put into a field: a *seal.Live.
type unsealer interface {
	On() bool
	Open(value string, now time.Time, sum func() (seal.Sum, error)) (seal.Sealed, error)
}

var errSealedTwice = errors.New("there are several such fields")

// unseal takes the verdict of another host into f, where this host has none. A
// field that is not good changes nothing, but is told: a stranger wrote it, or
// the hosts do not have the same keys.
func (s *Server) unseal(ctx context.Context, k *session, f *Facts, msg func() io.Reader) {
	if f.Scanned || len(f.Sealed) == 0 || s.seals == nil || !s.seals.On() {
		return
	}
	rcpts := make([]string, len(k.rcpts))
	for i, r := range k.rcpts {
		rcpts[i] = r.addr.String()
	}
	err := openSealed(s.seals, f, rcpts, msg, time.Now())
	if err == nil {
		return
	}
	f.Why = "the verdict of another host is not good"
	s.log.LogAttrs(ctx, slog.LevelWarn, "verdict of another host not used", slog.String("session", k.tag()),
		slog.String("queue_id", f.QueueID), slog.Any("err", err))
}

// openSealed fills in the row of f for those recipients.
func openSealed(u unsealer, f *Facts, rcpts []string, msg func() io.Reader, now time.Time) error {
	if len(f.Sealed) > 1 {
		return errSealedTwice
	}
	got, err := u.Open(f.Sealed[0], now, func() (seal.Sum, error) { return seal.Read(msg()) })
	if err != nil {
		return err
	}
	row := delivery.Row{QueueID: got.QueueID, Arrived: got.Arrived, Score: got.Score, Verdict: got.Verdict}
	for _, rcpt := range rcpts {
		v := got.For(rcpt)
		if v == got.Verdict {
			continue
		}
		if row.ByRcpt == nil {
			row.ByRcpt = map[string]verdict.Verdict{}
		}
		row.ByRcpt[delivery.Key(rcpt)] = v
	}
	f.Row, f.Scanned, f.Why = row, true, ""
	f.ScannedBy = "another host, queue id " + got.QueueID + ", key " + got.KeyID
	return nil
}

// unsealed returns how the message is read that buf has, which begins with top:
// without the field with a verdict, whoever wrote it. Most have none.
func unsealed(buf interface{ Reader() io.Reader }, top []byte) func() io.Reader {
	if seal.Clean(top) {
		return buf.Reader
	}
	return func() io.Reader { return seal.Strip(buf.Reader()) }
}
