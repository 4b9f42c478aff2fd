package milter

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/seal"
	"github.com/gatepost/gatepost/internal/verdict"
)

// sealer makes a field with the verdict that only a holder of its key can make.
type sealer interface {
	On() bool
	Make(r seal.Row, s seal.Sum) (header.Field, error)
}

// seals reports whether there are keys to make such fields with.
func (s *Server) seals() bool { return s.deps.Seals != nil && s.deps.Seals.On() }

// keepTimeout is for making the delivery verdict durable.
const keepTimeout = 10 * time.Second

// keepVerdict makes d known to the delivery daemons, which must not depend on
// what a stranger can write: that of this host by a row, that of another by a
// field, which goes behind es. A message that nobody could mark is not let in: it
// would land in the inbox.
func (s *session) keepVerdict(ctx context.Context, f facts, es []edit, d decision) ([]edit, decision) {
	seals := s.sealsVerdict()
	if s.srv.deps.Verdicts == nil && !seals || f.Scan == nil && d.Verdict == verdict.Accept || !d.Reply.IsZero() {
		return es, d
	}
	// Not of MessageTimeout, which slow DNS may have used up.
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	row := delivery.Row{QueueID: s.g.macros.value("i"), Arrived: s.msg.arrived, Verdict: d.Verdict}
	if f.Scan != nil {
		row.Score = f.Scan.Score
		rcpts := s.msg.recipients()
		look, stop := context.WithTimeout(ctx, keepTimeout/2) // the rest is for the row
		row.Verdict, row.ByRcpt = rowVerdicts(f.Scan, d.Verdict, rcpts, s.targets(look, f.Scan, rcpts))
		stop()
	}
	var err error
	if s.srv.deps.Verdicts != nil {
		err = s.srv.deps.Verdicts.Put(ctx, row)
	}
	if err == nil && seals {
		var e edit
		if e, err = s.sealVerdict(row); err == nil {
			es = append(es, e)
		}
	}
	if err == nil {
		return es, d
	}
	s.log.LogAttrs(ctx, slog.LevelError, "delivery verdict not kept", slog.String("queue_id", row.QueueID), slog.Any("err", err))
	if d.Verdict == verdict.Accept && row.Verdict == verdict.Accept && len(row.ByRcpt) == 0 {
		return es, d
	}
	return es, deferFor(err)
}

// sealsVerdict reports whether the message gets a field with its verdict: no mail
// of our users does, which goes to strangers.
func (s *session) sealsVerdict() bool {
	return s.srv.seals() && s.msg.origin.Direction == scan.Inbound && s.g.agreed.Actions&actAddHeaders != 0
}

// sealVerdict returns the change that adds the field with r, on top of the
// header: there who looks for it finds it, however long the header is.
func (s *session) sealVerdict(r delivery.Row) (edit, error) {
	sum, err := seal.Read(s.msg.reader())
	if err != nil {
		return edit{}, fmt.Errorf("read the message for its verdict: %w", err)
	}
	h, err := s.srv.deps.Seals.Make(seal.Row{
		QueueID: r.QueueID, Arrived: r.Arrived, Score: r.Score, Verdict: r.Verdict, ByRcpt: r.ByRcpt,
	}, sum)
	if err != nil {
		return edit{}, err
	}
	return edit{Op: respInsertHeader, Index: 1, Name: h.Name, Value: h.Value}, nil
}
