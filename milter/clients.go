package milter

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	bans "github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// clientGuard knows who is closed out of port 25 (package guard). It asks memory
// only.
type clientGuard interface {
	CheckClient(ctx context.Context, addr netip.Addr, service string) bans.Decision
	Note(ctx context.Context, e bans.Event) bans.Decision
}

// admit asks the guard about the client that connects, and returns the answer
// to one that is banned: a transient one, which ends the session. Only strangers
// are asked about.
func (s *session) admit() reply.Reply {
	s.observed = ""
	if s.srv.deps.Guard == nil || s.listener != scan.Inbound || !s.connect.Addr.IsValid() {
		return reply.Reply{}
	}
	start := time.Now()
	d := s.srv.deps.Guard.CheckClient(s.ctx, s.connect.Addr, bans.MX)
	if !d.Refuse && !d.Observed {
		return reply.Reply{}
	}
	r, err := reply.New(421, "7.1", banText(d.Ban))
	if err != nil {
		r = replyBanned // an odd id of a ban must not let anybody in
	}
	if !d.Refuse {
		s.observed = banRule(d.Ban.ID) + ": " + r.String()
		return reply.Reply{}
	}
	s.srv.deps.Meter.Request("milter", verdict.Defer.String(), time.Since(start))
	s.log.LogAttrs(s.ctx, slog.LevelInfo, "client refused",
		slog.String("client_addr", s.connect.Addr.String()), slog.String("client_name", s.clientName()),
		slog.String("rule", banRule(d.Ban.ID)), slog.String("verdict", verdict.Defer.String()), slog.String("reply", r.String()))
	if s.srv.deps.Journal != nil {
		s.srv.deps.Journal.Record(journal.Record{
			Time: start, Daemon: "milter", Event: "connect", Session: s.id, Service: s.listener.String(),
			ClientAddr: s.connect.Addr, ClientPort: s.connect.Port, ClientName: s.clientName(),
			Verdict: verdict.Defer.String(), Rule: banRule(d.Ban.ID), Reply: r.String(), Took: time.Since(start),
		})
	}
	return r
}

// replyBanned is the answer to a client whose ban cannot be told in words.
var replyBanned = reply.Must(421, "7.1", "mail from your network is refused for now")

// banText tells a client which ban it is and when it ends, so that its owner
// can ask about it.
func banText(b bans.Ban) string {
	return fmt.Sprintf("mail from your network is refused until %s UTC (ban %s)", b.Until.UTC().Format("2006-01-02 15:04"), b.ID)
}

func banRule(id string) string { return "ban " + id }

// note tells the guard of a stranger's message at its end, when it says
// something of the client: it was refused for its score, or taken and of a
// domain that SPF or DKIM vouch for.
func (s *session) note(f facts, d decision) {
	if s.srv.deps.Guard == nil || s.listener != scan.Inbound || s.msg == nil || !s.connect.Addr.IsValid() {
		return
	}
	if e, ok := eventOf(f, d); ok {
		e.Addr = s.connect.Addr
		s.srv.deps.Guard.Note(s.ctx, e)
	}
}
