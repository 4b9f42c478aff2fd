package milter

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// answer is all that goes out at the end of a message. Reply is the zero Reply
// when it is let in, with Edits, or when Quarantine names where it is kept: the
// MTA then discards it.
type answer struct {
	Reply      reply.Reply
	Edits      []edit
	Quarantine string
	// Sender is the new reverse-path, null for the one that it has.
	Sender mailaddr.Address
}

// finish gathers, decides, and tells the log, the journal and the meter. Once a
// panic has cost the message its judgement, the sender tries again.
func (s *session) finish(start time.Time) answer {
	var f facts
	var d decision
	var a answer
	func() {
		defer s.recover()
		if s.failed {
			return
		}
		s.msg.addBody(s.g.cur.Data) // Sendmail sends the last piece here
		s.msg.endHeader()
		ctx, cancel := context.WithTimeout(s.ctx, s.msg.cfg.MessageTimeout.Std())
		defer cancel()
		f = s.gather(ctx)
		f.NoQuarantine = s.noQuarantine()
		if d = decide(f); d.Keep {
			if a.Quarantine, f.Fault = s.quarantine(f, d); f.Fault != nil {
				d = deferFor(f.Fault)
			}
			return
		}
		a.Edits, d = s.plan(f, d)
		a.Edits, d = s.keepVerdict(s.ctx, f, a.Edits, d)
		if d.Reply.IsZero() {
			a.Sender = s.newSender(s.srv.deps.Forward)
		}
	}()
	if s.failed {
		d = decision{Verdict: verdict.Defer, Reply: reply.Broken}
	}
	if a.Reply = d.Reply; !d.Reply.IsZero() {
		a.Edits, a.Quarantine, a.Sender = nil, "", mailaddr.Address{}
	}
	func() {
		defer s.recover()
		s.tell(f, d, a, start)
		s.remember(f, d)
		s.note(f, d)
		s.ended()
		s.sent(f, d)
	}()
	return a
}

// ended tells whom it concerns that smtpd's message is through.
func (s *session) ended() {
	if s.srv.deps.Ended == nil || s.msg == nil || s.listener != scan.Inbound && s.listener != scan.Outbound {
		return
	}
	s.srv.deps.Ended(s.ctx, s.g.macros.value("i"), s.listener == scan.Outbound || s.msg.origin.User != "", s.msg.arrived)
}

// Submitted is a message that a user submitted.
type Submitted struct {
	User, MessageID, QueueID string
	// MailFrom is null for "<>"; From is the author in the header, null when there
	// is none or more than one.
	MailFrom, From mailaddr.Address
	RcptTo         []mailaddr.Address
	Client         netip.Addr
	// Scanned says that it was scored, Marked that mail from strangers with that
	// score would be marked.
	Scanned, Marked bool
}

// Bounced is a notification that a message could not be delivered (RFC 3464).
type Bounced struct {
	// Local says that the Postfix here wrote it, or a program that may pretend so.
	Local bool
	// MessageID is the failed message's, QueueID its id at the Postfix here, ""
	// where the notification does not say.
	MessageID, QueueID string
	RcptTo             []mailaddr.Address
}

// sent tells whoever watches what users send.
func (s *session) sent(f facts, d decision) {
	deps := &s.srv.deps
	switch {
	case s.msg == nil:
	case s.listener == scan.Outbound && f.Origin.User != "" && deps.Submitted != nil:
		deps.Submitted(Submitted{
			User: f.Origin.User, MessageID: f.MessageID, QueueID: s.g.macros.value("i"),
			MailFrom: s.msg.sender(), From: f.Author, RcptTo: s.msg.recipients(), Client: s.connect.Addr,
			Scanned: f.Scan != nil, Marked: f.Scan != nil && s.msg.cfg.Scan.Mark > 0 && f.Scan.Score >= s.msg.cfg.Scan.Mark,
		})
	case f.IsReport && d.Reply.IsZero() && deps.Bounced != nil:
		deps.Bounced(Bounced{
			Local: s.listener == scan.Local, MessageID: f.Report.MessageID, QueueID: f.Report.QueueID, RcptTo: f.Report.Failed,
		})
	}
}

// plan returns the changes that go with d, as far as the MTA takes them, or
// what to do when they cannot be written.
func (s *session) plan(f facts, d decision) ([]edit, decision) {
	if !d.Reply.IsZero() {
		return nil, d
	}
	es, err := edits(s.msg.cfg, f, d)
	if err != nil {
		s.log.LogAttrs(s.ctx, slog.LevelError, "header fields not written", slog.Any("err", err))
		return nil, deferFor(err)
	}
	n := len(es)
	es = slices.DeleteFunc(es, func(e edit) bool {
		need := actAddHeaders
		if e.Op == respChangeHeader {
			need = actChangeHeaders
		}
		return s.g.agreed.Actions&need == 0
	})
	if len(es) < n {
		s.log.LogAttrs(s.ctx, slog.LevelWarn, "the MTA takes no header changes", slog.String("queue_id", s.g.macros.value("i")))
	}
	return es, d
}

// tell writes the one line, the one record and the one count of a message.
func (s *session) tell(f facts, d decision, a answer, start time.Time) {
	took := time.Since(start)
	s.srv.deps.Meter.Request("milter", d.word(), took)
	r := s.record(f, d, a, start, took)
	attrs := []slog.Attr{
		slog.String("queue_id", r.QueueID), slog.String("client_addr", addrString(r)),
		slog.String("client_name", r.ClientName), slog.String("helo", r.Helo),
		slog.String("mail_from", r.MailFrom), slog.Any("rcpt_to", firstRcpts(r.RcptTo)),
		slog.String("user", r.User), slog.String("mech", r.Mech), slog.String("rule", r.Rule),
		slog.String("verdict", r.Verdict), slog.String("reply", r.Reply), slog.Duration("took", took),
	}
	for _, err := range []error{f.Fault, f.SignFault} {
		if err != nil {
			attrs = append(attrs, slog.Any("err", err))
		}
	}
	s.log.LogAttrs(s.ctx, slog.LevelInfo, "message judged", attrs...)
	if s.srv.deps.Journal != nil {
		s.srv.deps.Journal.Record(r)
	}
}

// record is the message's story. After a panic s.msg may be missing.
func (s *session) record(f facts, d decision, a answer, start time.Time, took time.Duration) journal.Record {
	mac := &s.g.macros
	r := journal.Record{
		Time: start, Daemon: "milter", Event: "message",
		QueueID: mac.value("i"), MessageID: f.MessageID, Session: s.id, Service: s.listener.String(),
		ClientAddr: s.connect.Addr, ClientPort: s.connect.Port,
		ClientName: s.clientName(), Helo: s.helo,
		User: mac.value("{auth_authen}"), Mech: mac.value("{auth_type}"),
		Verdict: d.word(), Reply: d.Reply.String(), Took: took,
	}
	add := func(key, value string) {
		if value != "" {
			r.Facts = append(r.Facts, journal.Fact{Key: key, Value: value})
		}
	}
	if s.msg != nil {
		r.MailFrom, r.RcptTo = s.msg.sender().String(), s.msg.paths()
		add("direction", f.Origin.Direction.String())
		add("size", itoa(int(s.msg.size)))
		mailParams, rcptParams := s.msg.parameters()
		add("mail_parameters", mailParams)
		add("rcpt_parameters", rcptParams)
		if n := s.msg.rcpts - len(s.msg.rcptTo); n > 0 {
			add("recipients_not_shown", itoa(n))
		}
	}
	add("tls", strings.TrimSpace(mac.value("{tls_version}")+" "+mac.value("{cipher}")))
	if f.Scan != nil {
		r.Score, r.Lines, r.Rule = f.Scan.Score, f.Scan.Lines, topRule(f.Scan.Lines)
		tellScan(f.Scan, add)
	}
	if d.Verdict == verdict.Mark && f.wantsQuarantine() {
		add("not in quarantine", f.NoQuarantine)
	}
	add("quarantine", a.Quarantine)
	add("would_have", s.observed)
	add("would_have", f.wouldRefuse())
	s.tellFacts(f, a, add)
	tellAuth(f.Auth, d.Verdict, add)
	return r
}

// tellScan tells what the lines of r do not: from which scores on they mean
// more, and for whom they mean something else.
func tellScan(r *scan.Result, add func(key, value string)) {
	if r.Partly {
		add("scanned", "partly")
	}
	if len(r.Lines) == 0 {
		add("score", "0.00, no rule matched")
	} else {
		add("thresholds", thresholds(r.Thresholds))
	}
	add("tags", strings.Join(r.Tags, ", "))
	add("by recipient", recipientVerdicts(r.ByRcpt))
}

// thresholds tells from which scores on more happens than accept.
func thresholds(all scan.Thresholds) string {
	var out []string
	for _, t := range []struct {
		verdict verdict.Verdict
		score   float64
	}{{verdict.Mark, all.Mark}, {verdict.Quarantine, all.Quarantine}, {verdict.Reject, all.Reject}} {
		if t.score > 0 {
			out = append(out, t.verdict.String()+" from "+strconv.FormatFloat(t.score, 'f', -1, 64))
		}
	}
	return strings.Join(out, ", ")
}

// tellFacts tells what was found out and done.
func (s *session) tellFacts(f facts, a answer, add func(key, value string)) {
	if s.failed {
		add("fault", "panic")
		return
	}
	for _, e := range a.Edits {
		if e.Name == "Authentication-Results" && e.Value != "" {
			add("authentication", strings.Join(strings.Fields(header.Unfold([]byte(e.Value))), " "))
		}
	}
	if a.Reply.IsZero() {
		for _, k := range f.Signers {
			add("signature", k)
		}
		add("seal", f.Sealer)
		add("unsealed", f.Unsealed)
	}
	if f.Origin.signs() {
		add("unsigned", f.Unsigned)
	}
	for _, err := range []error{f.Fault, f.SignFault} {
		if err != nil {
			add("fault", err.Error())
		}
	}
	if a.Sender != (mailaddr.Address{}) {
		add("sender_rewritten", a.Sender.String())
	}
	const shown = 20
	names := make([]string, 0, shown)
	for i, e := range a.Edits {
		if i == shown {
			names = append(names, "and "+itoa(len(a.Edits)-shown)+" more")
			break
		}
		names = append(names, e.String())
	}
	add("edits", strings.Join(names, ", "))
}

// tellAuth tells what Authentication-Results has no place for. A message that is
// refused has none at all.
func tellAuth(r mailauth.Results, v verdict.Verdict, add func(key, value string)) {
	if a := r.ARC; a.Result != "" && a.Result != authres.None {
		text := string(a.Result)
		if a.Reason != "" {
			text += ", " + a.Reason
		}
		const shown = 10
		for _, set := range a.Sets[:min(len(a.Sets), shown)] {
			if set.Seal.Domain != "" {
				text += fmt.Sprintf("; i=%d %s", set.Instance, set.Seal.Domain)
			}
		}
		add("arc", text)
	}
	if !r.DMARCChecked {
		return
	}
	text := string(r.DMARC.Result)
	for _, s := range []string{r.DMARC.Domain, r.DMARC.Reason} {
		if s != "" {
			text += ", " + s
		}
	}
	add("dmarc", text)
	add("dmarc_policy", disposition(r, v))
	if w := r.Forwarder; w.Domain != "" {
		add("forwarder", w.Domain+", by "+string(w.Method))
	}
}

// recipientVerdicts tells whose verdict differs.
func recipientVerdicts(by map[string]verdict.Verdict) string {
	const shown = 5
	var out []string
	for i, rcpt := range slices.Sorted(maps.Keys(by)) {
		if i == shown {
			out = append(out, "and "+itoa(len(by)-shown)+" more")
			break
		}
		out = append(out, rcpt+" "+by[rcpt].String())
	}
	return strings.Join(out, ", ")
}

// topRule returns the name of the line with the highest score above zero.
func topRule(lines []verdict.Line) string {
	name, top := "", 0.0
	for _, l := range lines {
		if l.Score > top {
			name, top = l.Name, l.Score
		}
	}
	return name
}

// firstRcpts bounds what the log line says of the recipients.
func firstRcpts(rcpts []string) []string {
	const shown = 5
	if len(rcpts) <= shown {
		return rcpts
	}
	return append(slices.Clone(rcpts[:shown]), "and "+itoa(len(rcpts)-shown)+" more")
}

func addrString(r journal.Record) string {
	if !r.ClientAddr.IsValid() {
		return ""
	}
	return r.ClientAddr.String()
}
