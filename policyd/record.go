package policyd

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
)

// record writes the verdict to the journal, and to the log: a plain DUNNO only
// at level debug, because each recipient of each mail has one.
func (s *Server) record(ctx context.Context, req *Request, v Verdict, f Facts, at time.Time, took time.Duration) {
	s.journal.Record(recordOf(req, v, f, at, took))
	level := slog.LevelInfo
	if v.Rule == "" && len(v.Would) == 0 {
		level = slog.LevelDebug
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	s.log.LogAttrs(ctx, level, "policy decided",
		slog.String("session", req.Instance),
		slog.String("queue_id", req.QueueID),
		slog.String("client_addr", formatAddr(req.Client.Addr)),
		slog.String("client_name", req.Client.Name),
		slog.String("helo", req.Client.Helo),
		slog.String("user", req.SASL.Username),
		slog.String("mail_from", req.MailFrom),
		slog.String("rcpt_to", req.RcptTo),
		slog.String("rule", ruleText(v)),
		slog.String("verdict", v.Word()),
		slog.String("reply", v.Action.String()),
		slog.Duration("took", took))
}

// ruleText names the rule that decided, and those that would have.
func ruleText(v Verdict) string {
	text := v.Rule
	for _, w := range v.Would {
		if text != "" {
			text += ", "
		}
		text += "would have: " + w.Rule
	}
	return text
}

func recordOf(req *Request, v Verdict, f Facts, at time.Time, took time.Duration) journal.Record {
	r := journal.Record{
		Time:       at,
		Daemon:     daemon,
		Event:      eventOf(req.ProtocolState),
		QueueID:    req.QueueID,
		Session:    req.Instance,
		Service:    "policy",
		ClientAddr: req.Client.Addr,
		ClientPort: req.Client.Port,
		ClientName: req.Client.Name,
		Helo:       req.Client.Helo,
		User:       req.SASL.Username,
		Mech:       req.SASL.Method,
		MailFrom:   req.MailFrom,
		Verdict:    v.Word(),
		Rule:       v.Rule,
		Reply:      v.Action.String(),
		Took:       took,
	}
	if req.RcptTo != "" {
		r.RcptTo = []string{req.RcptTo}
	}
	if req.PolicyContext != "" {
		r.Facts = append(r.Facts, journal.Fact{Key: "policy_context", Value: req.PolicyContext})
	}
	if counts(req.ProtocolState) {
		for _, l := range f.Limits {
			r.Facts = append(r.Facts, journal.Fact{Key: "limit", Value: LimitText(l, f.Mine)})
		}
	}
	for _, w := range v.Would {
		r.Facts = append(r.Facts, journal.Fact{Key: "would_have", Value: w.Rule + ": " + w.Action.String()})
	}
	return r
}

// eventOf is the protocol_state in lower case; one that Postfix does not have
// is "other".
func eventOf(s State) string {
	for _, known := range states {
		if s == known {
			return strings.ToLower(string(s))
		}
	}
	return "other"
}
