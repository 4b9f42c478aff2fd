package policyd

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
)

// record writes the verdict to the journal, and to the log: a plain DUNNO only
// at level debug, because each recipient of each mail has one.
func (s *Server) record(ctx context.Context, req *Request, v *Verdict, note *told, at time.Time, took time.Duration) {
	s.journal.Record(recordOf(req, v, note, at, took))
	s.hits.count(v)
	level := slog.LevelInfo
	if v.Plain() {
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
		slog.String("rule", hinted(ruleText(v), admissionHint(v, req, note.facts.User, note.facts.Admit))),
		slog.String("verdict", v.Word()),
		slog.String("reply", v.Action.String()),
		slog.Duration("took", took))
}

// ruleText names the rule that decided, and those that would have.
func ruleText(v *Verdict) string {
	text := v.Rule
	for _, w := range v.Would {
		if text != "" {
			text += ", "
		}
		text += "would have: " + w.Rule
	}
	return text
}

// recordOf tells of one answer, and of the recipients that passed before it.
func recordOf(req *Request, v *Verdict, note *told, at time.Time, took time.Duration) journal.Record {
	f := note.facts
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
	switch {
	case note.many > 0:
		r.RcptTo = note.rcpts
	case req.RcptTo != "":
		r.RcptTo = []string{req.RcptTo}
	}
	if n := len(f.Limits) + len(v.Would); n > 0 {
		r.Facts = make([]journal.Fact, 0, n+1) // with policy_context
	}
	if req.PolicyContext != "" {
		r.Facts = append(r.Facts, journal.Fact{Key: "policy_context", Value: req.PolicyContext})
	}
	if counts(req.ProtocolState) {
		r.Facts = limitFacts(r.Facts, f)
	}
	if note.many > len(note.rcpts) {
		r.Facts = append(r.Facts, journal.Fact{Key: "recipients", Value: strconv.Itoa(note.many)})
	}
	if text := greylistFact(f.Greylist); text != "" {
		r.Facts = append(r.Facts, journal.Fact{Key: "greylist", Value: text})
	}
	if text := admissionHint(v, req, f.User, f.Admit); text != "" {
		r.Facts = append(r.Facts, journal.Fact{Key: "hint", Value: text})
	}
	for _, w := range v.Would {
		r.Facts = append(r.Facts, journal.Fact{Key: "would_have", Value: w.Rule + ": " + w.Action.String()})
	}
	return r
}

// limitFacts appends what each limit said. All are parts of one text: there are
// some of them for each mail.
func limitFacts(dst []journal.Fact, f *Facts) []journal.Fact {
	var room [512]byte
	var places [8]int
	b, ends := room[:0], places[:0]
	for i := range f.Limits {
		l := &f.Limits[i]
		b = appendLimitText(b, l, f.before(l))
		ends = append(ends, len(b))
	}
	text, from := string(b), 0
	for _, end := range ends {
		dst = append(dst, journal.Fact{Key: "limit", Value: text[from:end]})
		from = end
	}
	return dst
}

// eventOf is the protocol_state in lower case; one that Postfix does not have
// is "other".
func eventOf(s State) string {
	if event, ok := events[s]; ok {
		return event
	}
	return "other"
}

// events has every state of Postfix.
var events = map[State]string{
	StateConnect: "connect", StateEHLO: "ehlo", StateHELO: "helo", StateMail: "mail", StateRcpt: "rcpt",
	StateData: "data", StateEndOfMessage: "end-of-message", StateVRFY: "vrfy", StateETRN: "etrn",
}
