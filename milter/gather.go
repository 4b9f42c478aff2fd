package milter

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/dsn"
	"github.com/gatepost/gatepost/internal/evidence"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// authChecker finds out who sent a message (package mailauth).
type authChecker interface {
	Check(ctx context.Context, in mailauth.Input) mailauth.Results
}

// keyStore has the keys that sign for a domain (package keys).
type keyStore interface {
	Active(domain string) []keys.Key
}

// waitingKeys is what a keyStore may know besides: that a domain has keys, and
// none of them signs yet or any more.
type waitingKeys interface {
	Waiting(domain string) bool
}

// verdictStore keeps the delivery verdict (package delivery).
type verdictStore interface {
	Put(ctx context.Context, r delivery.Row) error
}

// recorder keeps the story (package journal). It never blocks.
type recorder interface {
	Record(journal.Record)
}

// gatherer finds out what is known of a message besides who sent it (package
// evidence).
type gatherer interface {
	Begin(ctx context.Context, m scan.Message) *evidence.Case
}

// meter counts (package metric).
type meter interface {
	Request(daemon, verdict string, took time.Duration)
	Sessions(daemon string, delta int)
}

// Deps are the parts that the milter asks. A nil one is off: no SPF, DKIM and DMARC,
// no score, no signatures, no delivery verdict, no journal, no metrics.
type Deps struct {
	Auth authChecker
	// Scan judges by the rules in force, with a scan.Engine that was made for
	// them: to make one, as scan.Scan does, takes longer than to judge a short
	// message.
	Scan func(scan.Config, scan.Message, time.Time) scan.Result
	// Evidence gathers for Scan, and remembers afterwards.
	Evidence gatherer
	Keys     keyStore
	// Sign is keys.Sign: values of DKIM-Signature, folded with LF, in the order
	// of the keys. It is needed with Keys.
	Sign func(signers []keys.Key, msg io.Reader) ([]string, error)
	// MaySend says whether a login may use an address in the header From. Nil
	// means that none may.
	MaySend func(ctx context.Context, user, as mailaddr.Address) (bool, error)
	// Targets returns where mail for a recipient is delivered here, behind its
	// aliases (account.Targets), limit at most. Nil knows of no aliases.
	Targets func(ctx context.Context, rcpt mailaddr.Address, limit int) ([]mailaddr.Address, error)
	// Forward passes mail on under a sender of ours; nil is off.
	Forward *Forwarding
	// Submitted is told of every message that a user submits, whatever becomes of
	// it, Bounced of every notification about one that failed. They do not block.
	Submitted func(Submitted)
	Bounced   func(Bounced)
	// Wrote says whether our spool wrote the message with that Message-ID: on
	// milter-outgoing nothing else is signed. Nil knows of none.
	Wrote func(messageID string) bool
	// Ended is told of every message of smtpd at its end: outbound, and when its
	// transaction began. It does not block. Nil is nobody.
	Ended    func(ctx context.Context, queueID string, outbound bool, began time.Time)
	Verdicts verdictStore
	// Seals is a *seal.Live: it puts the verdict on mail from outside into a field
	// for another host.
	Seals sealer
	// Guard says who is closed out of port 25, and hears of what strangers send.
	Guard clientGuard
	// Quarantine keeps messages that nobody is to have; without it they go to
	// Junk.
	Quarantine quarantiner
	Journal    recorder
	Meter      meter
}

// gather asks for everything that the decision needs.
func (s *session) gather(ctx context.Context) facts {
	m := s.msg
	f := facts{
		Origin: m.origin, NullSender: m.nullSender(),
		Forged: m.fields.Forged, Private: m.fields.Private,
	}
	if f.Refusal, f.Fault = m.trouble(); f.Fault != nil || !f.Refusal.IsZero() {
		return f
	}
	head, err := m.buf.Head(max(int64(m.cfg.ScanBytes), m.headerEnd))
	if err != nil {
		f.Fault = err
		return f
	}
	raw := rawmsg.Scan(head, rawmsg.Default())
	f.MessageID, _ = raw.First("Message-ID")
	f.Author, _ = author(raw, m.headerEnd)
	if f.NullSender && (f.Origin.Direction == scan.Inbound || f.Origin.Direction == scan.Local) {
		f.Report, f.IsReport = dsn.Parse(raw)
	}
	var seal keys.Key
	if f.Origin.Direction == scan.Inbound {
		seal, f.Unsealed = s.sealKey(ctx)
	}
	s.judge(ctx, raw, seal.Domain != "", &f)
	if f.Origin.signs() && decide(f).Reply.IsZero() {
		s.sign(ctx, raw, &f)
	}
	if seal.Domain != "" && decide(f).Reply.IsZero() {
		s.seal(ctx, raw, seal, &f)
	}
	return f
}

// judge finds out who sent the message, while the lists are asked, and scores
// it.
func (s *session) judge(ctx context.Context, raw *rawmsg.Message, seal bool, f *facts) {
	m, scored := s.scanMessage(raw), s.srv.deps.Scan != nil && f.Origin.scored()
	if scored && s.srv.deps.Evidence != nil {
		f.Case = s.srv.deps.Evidence.Begin(ctx, m)
	}
	if f.Origin.Direction == scan.Inbound {
		f.Auth = s.authenticate(ctx, raw, seal)
		f.Policy = policyOf(s.msg.cfg, f.Auth)
		f.ForgedLocal = s.msg.cfg.RejectForgedLocalSender
	}
	if !scored {
		return
	}
	m.Auth = f.Auth
	if f.Case != nil {
		m = f.Case.Message(ctx, f.Auth)
	}
	r := s.srv.deps.Scan(s.msg.cfg.Scan, m, time.Now())
	f.Scan = &r
}

// scanMessage is what the rules see, without who sent it.
func (s *session) scanMessage(raw *rawmsg.Message) scan.Message {
	m := s.msg
	return scan.Message{
		Direction: m.origin.Direction,
		Client: scan.Client{
			Addr: s.connect.Addr, Name: s.clientName(), Helo: s.helo,
			TLS: s.g.macros.value("{tls_version}") != "",
		},
		User: m.origin.User, MailFrom: m.sender(), RcptTo: m.recipients(),
		Raw: raw, Size: m.size,
	}
}

// authenticate returns who sent the message, with what a seal needs if it is to
// have one.
func (s *session) authenticate(ctx context.Context, raw *rawmsg.Message, seal bool) mailauth.Results {
	if s.srv.deps.Auth == nil {
		return mailauth.Results{IPRev: s.iprev()}
	}
	return s.srv.deps.Auth.Check(ctx, mailauth.Input{
		ClientAddr: s.connect.Addr, ClientName: s.clientName(), Helo: s.helo,
		MailFrom: s.msg.sender(), Raw: raw, Body: s.msg.reader, Seal: seal,
	})
}

// iprev is what Postfix found out about the client's name.
func (s *session) iprev() mailauth.IPRev {
	r := mailauth.IPRev{Addr: s.connect.Addr, Name: s.clientName()}
	switch {
	case !r.Addr.IsValid():
		return mailauth.IPRev{}
	case r.Name != "":
		r.Result = authres.Pass
		return r
	}
	switch s.g.macros.value("{client_resolve}") {
	case "FAIL":
		r.Result = authres.PermError
	case "FORGED":
		r.Result = authres.Fail
	default:
		r.Result = authres.TempError
	}
	return r
}

// clientName returns the client's verified name, "" when there is none.
func (s *session) clientName() string {
	name := s.g.macros.value("{client_name}")
	if name == "" {
		name = strings.ToValidUTF8(s.connect.Host, "?")
	}
	if name == "unknown" || strings.HasPrefix(name, "[") {
		return ""
	}
	return name
}

// sign fills in f's signatures, or why there are none.
func (s *session) sign(ctx context.Context, raw *rawmsg.Message, f *facts) {
	m, d := s.msg, &s.srv.deps
	if d.Keys == nil || d.Sign == nil {
		f.Unsigned = "signing is off"
		return
	}
	if s.g.agreed.Actions&actAddHeaders == 0 {
		f.Unsigned = "the MTA takes no new header fields"
		return
	}
	from, why := author(raw, m.headerEnd)
	if why == "" && f.Origin.Direction == scan.Own && (d.Wrote == nil || !d.Wrote(f.MessageID)) {
		why = "a message that Gatepost did not write"
	} else if why == "" && f.Origin.Direction != scan.Own {
		why = signable(m.cfg, f.Origin, from)
	}
	if why != "" {
		f.Unsigned = why
		return
	}
	// A message without a key is unsigned whatever its author's rights are.
	signers := d.Keys.Active(from.Domain)
	if len(signers) == 0 {
		f.Unsigned = noKey(d.Keys, from.Domain)
		return
	}
	if f.Origin.Direction == scan.Outbound && f.Origin.User != "" {
		ok, err := s.mayUse(ctx, from)
		if err != nil {
			f.SignFault, f.Unsigned = fmt.Errorf("rights of the sender: %w", err), "the sender's rights are not known now"
			return
		}
		if !ok {
			f.Unsigned = "the login may not use the header From"
			return
		}
	}
	msg, err := m.leaving(f.Forged, f.Private)
	if err == nil {
		f.Signatures, err = d.Sign(signers, msg)
	}
	if err == nil && len(f.Signatures) == 0 {
		err = fmt.Errorf("no signature was made")
	}
	if err != nil {
		f.Signatures, f.Unsigned = nil, "the key could not be used"
		f.SignFault = fmt.Errorf("sign for %s: %w", from.Domain, err)
		if s.srv.alarm(from.Domain) {
			s.log.LogAttrs(ctx, slog.LevelError, "signing key does not work, mail of its domain is deferred", slog.Any("err", f.SignFault))
		}
		return
	}
	for _, k := range signers {
		f.Signers = append(f.Signers, k.Domain+" s="+k.Selector+" a="+string(k.Algorithm)+"-sha256")
	}
}

// noKey says why nothing signs for domain.
func noKey(store keyStore, domain string) string {
	if w, ok := store.(waitingKeys); ok && w.Waiting(domain) {
		return "no key for the domain of the header From is active"
	}
	return "no key for the domain of the header From"
}

// mayUse asks whether the login may use from in the header.
func (s *session) mayUse(ctx context.Context, from mailaddr.Address) (bool, error) {
	user, err := mailaddr.Parse(s.msg.origin.User)
	if err != nil || s.srv.deps.MaySend == nil {
		return false, nil // a login that is no address has no addresses
	}
	return s.srv.deps.MaySend(ctx, user, from)
}

// rowVerdicts returns what the delivery daemon goes by: the verdict for an
// address that it does not find, and those of recipients that differ. A policy
// may have made the verdict on the message, all, worse for everybody.
//
// It finds a mailbox by its own address, and not by the alias that stood in
// RCPT: so targets has the mailboxes behind each recipient. Where two recipients
// end in one mailbox the milder verdict is for it, since a false Junk is worse
// than mail that one of the two lets in. For all else is the verdict of an
// address that is no recipient, and not that on the message, which is the
// mildest.
func rowVerdicts(r *scan.Result, all verdict.Verdict, rcpts []mailaddr.Address, targets map[mailaddr.Address][]mailaddr.Address) (verdict.Verdict, map[string]verdict.Verdict) {
	if len(r.ByRcpt) == 0 {
		return all, nil
	}
	worse := func(v verdict.Verdict) verdict.Verdict {
		if all > r.Verdict {
			return max(v, all)
		}
		return v
	}
	out := map[string]verdict.Verdict{}
	for _, rcpt := range rcpts {
		v := worse(r.VerdictFor(rcpt))
		for _, to := range append([]mailaddr.Address{rcpt}, targets[rcpt]...) {
			key := delivery.Key(to.String())
			if known, ok := out[key]; !ok || v < known {
				out[key] = v
			}
		}
	}
	others := worse(r.Others)
	maps.DeleteFunc(out, func(_ string, v verdict.Verdict) bool { return v == others })
	return others, out
}

// maxTargets bounds the mailboxes behind the recipients of one message whose own
// verdict is kept: those of a list with more go by that for all others.
const maxTargets = 1000

// targets returns the mailboxes behind each recipient, where verdicts differ. A
// store that is away costs those behind an alias their own verdict.
func (s *session) targets(ctx context.Context, r *scan.Result, rcpts []mailaddr.Address) map[mailaddr.Address][]mailaddr.Address {
	if s.srv.deps.Targets == nil || len(r.ByRcpt) == 0 {
		return nil
	}
	all, left := map[mailaddr.Address][]mailaddr.Address{}, maxTargets
	for _, rcpt := range rcpts {
		to, err := s.srv.deps.Targets(ctx, rcpt, left)
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "mailboxes behind aliases not found, they go by the verdict for others", slog.Any("err", err))
			return all
		}
		all[rcpt] = to
		if left -= len(to); left <= 0 {
			break
		}
	}
	return all
}

// remember tells the evidence what became of the message.
func (s *session) remember(f facts, d decision) {
	if f.Case == nil {
		return
	}
	f.Case.Done(s.ctx, evidence.Outcome{
		QueueID: s.g.macros.value("i"), Arrived: s.msg.arrived, MessageID: f.MessageID,
		Taken: d.Reply.IsZero(), Result: f.Scan, Mark: s.msg.cfg.Scan.Mark, User: f.Origin.User,
	})
}
