package stated

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/notice"
)

// telling is a notice.Event with what its own JSON leaves out.
type telling struct {
	notice.Event
	Window    time.Duration `json:"window"`
	AdminOnly bool          `json:"admin_only,omitempty"`
	UserOnly  bool          `json:"user_only,omitempty"`
}

// keeping are the features of a message that was scored.
type keeping struct {
	Trace    learn.Trace `json:"trace"`
	Features []byte      `json:"features"`
}

// filing is where a delivery put a file.
type filing struct {
	Base string `json:"base"`
	Junk bool   `json:"junk,omitempty"`
}

// tellRoutes take batches of what is not answered.
func (s *Server) tellRoutes() {
	s.onBody("tell", 0, large, func(ctx context.Context, p *peer, body io.Reader) (any, error) {
		var res refusedLines
		lines := bufio.NewScanner(io.LimitReader(body, 2*batchBytes+maxLine))
		lines.Buffer(make([]byte, 0, 64<<10), maxLine+1)
		for lines.Scan() {
			if err := s.heard(ctx, p, lines.Bytes()); err != nil {
				res.Refused++
				res.Why = err.Error()
			}
		}
		if res.Refused > 0 {
			s.log.LogAttrs(ctx, slog.LevelWarn, "what a daemon tells is refused",
				slog.Int("uid", p.uid), slog.Int("count", res.Refused), slog.String("err", res.Why))
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%w: %w", errRequest, err)
		}
		return res, nil
	})
}

// heard takes one line.
func (s *Server) heard(ctx context.Context, p *peer, line []byte) error {
	var t told
	if err := decodeLine(line, &t); err != nil {
		return err
	}
	to := s.parts
	switch t.Kind {
	case "record":
		return take(p, 0, t, func(r journal.Record) error {
			if !slices.Contains(p.Journal, r.Daemon) {
				return fmt.Errorf("%w: a record of %q by user id %d", ErrForbidden, r.Daemon, p.uid)
			}
			to.Journal.Record(r)
			return nil
		})
	case "used":
		return take(p, rightSecrets, t, func(u used) error {
			to.Accounts.UsedAppPassword(u.App.app(), u.When, u.From)
			return nil
		})
	case "keep":
		return take(p, rightScore, t, to.keep)
	case "filed":
		return take(p, rightFiled, t, func(f filing) error { to.Learn.NoteFiled(f.Base, f.Junk); return nil })
	case "watch":
		return take(p, rightTeach, t, func(w learn.WatchStatus) error { to.Learn.ReportWatch(w); return nil })
	case "notice":
		return take(p, rightNotices, t, func(n telling) error {
			e := n.Event
			e.Window, e.AdminOnly, e.UserOnly = n.Window, n.AdminOnly, n.UserOnly
			to.Notices.Tell(e)
			return nil
		})
	case "sent":
		return take(p, rightSent, t, func(e abuse.Sent) error { to.Abuse.Sent(e); return nil })
	case "bounced":
		return take(p, rightSent, t, func(e abuse.Bounced) error { to.Abuse.Bounced(e); return nil })
	case "refused":
		return take(p, rightRefused, t, func(e abuse.Refused) error { to.Abuse.Refused(e); return nil })
	case "login":
		return take(p, rightLogins, t, func(e abuse.Login) error { to.Abuse.Login(e); return nil })
	}
	return fmt.Errorf("%w: nobody tells of %q", errRequest, t.Kind)
}

// take decodes what was told for who may tell it.
func take[T any](p *peer, need Right, t told, f func(T) error) error {
	if err := p.need(need); err != nil {
		return err
	}
	var v T
	if err := decodeLine(t.What, &v); err != nil {
		return err
	}
	return f(v)
}
