package milter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/dsn"
	"github.com/gatepost/gatepost/internal/evidence"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// The replies at the end of a message, besides reply.Broken and reply.DiskFull.
var (
	replySpam      = reply.Must(554, "7.1", "message refused as spam")
	replyKept      = reply.Must(554, "7.1", "message refused, an administrator has to see to it")
	replyLater     = reply.Must(451, "7.1", "please try again later")
	replyBigHeader = reply.Must(552, "3.4", "message header too long")
	replyForged    = reply.Must(554, "6.0", "message header has too many fields that only this host may add")
)

// origin is where a message comes from, and what proves it.
type origin struct {
	Direction scan.Direction
	// User is the SASL login of an outbound message, "" when its network is
	// what lets it out.
	User string
	// Domains may stand in the header From of an outbound message without User.
	Domains []string
}

// originOf returns the direction of a message. The listener is the proof; on
// submission it takes a login or a network of the settings besides, else the
// message counts as a stranger's.
func originOf(cfg *Config, listener scan.Direction, user string, client netip.Addr) origin {
	if listener != scan.Outbound {
		return origin{Direction: listener, User: user}
	}
	if user != "" {
		return origin{Direction: scan.Outbound, User: user}
	}
	for _, n := range cfg.SubmissionNetworks {
		if slices.ContainsFunc(n.Networks, func(p netaddr.Prefix) bool { return p.Contains(client) }) {
			return origin{Direction: scan.Outbound, Domains: n.Domains}
		}
	}
	return origin{Direction: scan.Inbound}
}

// scored reports whether the rules see the message.
func (o origin) scored() bool {
	return o.Direction == scan.Inbound || o.Direction == scan.Outbound
}

// signs reports whether the message may be signed at all.
func (o origin) signs() bool { return o.Direction != scan.Inbound }

// facts are what is known of a message at its end.
type facts struct {
	Origin origin
	// NullSender says that the reverse-path is null.
	NullSender bool
	// Refusal is set when the message broke a bound while it came in.
	Refusal reply.Reply
	// Fault is what went wrong here while it came in.
	Fault error

	Auth mailauth.Results
	// Policy is what the settings make of the policy in Auth.
	Policy policy
	// ForgedLocal is what the settings make of an author of ours that is forged.
	ForgedLocal unit.Mode
	// Scan is nil when the message was not scored.
	Scan *scan.Result
	// Case is what was gathered for it, nil for nothing.
	Case *evidence.Case

	// Signatures are values of DKIM-Signature in the order in which they are
	// to stand, Signers the names of their keys. Unsigned is the one reason why there is none. SignFault is why
	// there should be one and is not.
	Signatures []string
	Signers    []string
	Unsigned   string
	SignFault  error

	// Seal is an ARC set in the order in which it is to stand, Sealer the name
	// of its key. Unsealed is the one reason why there is none.
	Seal     []header.Field
	Sealer   string
	Unsealed string

	Forged, Private []fieldRef
	MessageID       string
	// Author is the one mailbox in the header From, null for none or several.
	Author mailaddr.Address
	// Report is a notification about mail that failed, where IsReport.
	Report   dsn.Report
	IsReport bool

	// NoQuarantine is why the message cannot be put into quarantine, "" when it
	// can.
	NoQuarantine string
}

// decision is the verdict. Reply is the zero Reply when the message is taken
// from the peer: into the queue, or with Keep into our quarantine.
type decision struct {
	Verdict verdict.Verdict
	Reply   reply.Reply
	// Keep says that the message goes into quarantine and not to anybody,
	// Discard that a rule wants that nobody ever gets it.
	Keep, Discard bool
}

// word is the verdict as the journal and the metrics have it.
func (d decision) word() string {
	if d.Discard {
		return "discard"
	}
	return d.Verdict.String()
}

// decide returns what to do with the message. It knows neither more nor less
// than f; equal facts give equal decisions.
func decide(f facts) decision {
	switch {
	case !f.Refusal.IsZero():
		return decision{Verdict: verdict.Reject, Reply: f.Refusal}
	case f.Fault != nil:
		return deferFor(f.Fault)
	}
	d := decision{Verdict: verdict.Accept}
	if f.Scan != nil {
		d.Verdict = f.Scan.Verdict
	}
	switch d.Verdict {
	case verdict.Reject:
		d.Reply = replySpam
		if r, err := reply.New(554, "7.1", f.Scan.Reject); err == nil {
			d.Reply = r
		}
		return d
	case verdict.Defer:
		d.Reply = replyLater
		return d
	}
	if f.ForgedLocal == unit.Enforce && f.forgedLocal() {
		return decision{Verdict: verdict.Reject, Reply: replyForgedLocal}
	}
	switch v := f.Policy.verdict(f.Scan); v {
	case verdict.Reject:
		return decision{Verdict: v, Reply: replyPolicy}
	case verdict.Defer:
		return decision{Verdict: v, Reply: replyPolicyLater}
	default:
		d.Verdict = max(d.Verdict, v)
	}
	// A bounce of ours goes out unsigned rather than never.
	if f.SignFault != nil && !f.NullSender {
		return deferFor(f.SignFault)
	}
	return putAside(f, d)
}

// deferFor returns the decision after a fault of ours: the sender tries again,
// also when err is permanent to whoever classed it.
func deferFor(err error) decision {
	r := reply.FromError(err)
	if r.Code()/100 != 4 {
		r = reply.Broken
	}
	return decision{Verdict: verdict.Defer, Reply: r}
}

// author returns the one mailbox in the header From, or why there is none. With
// two of them nobody can say whose right to sign it is, and where we do not see
// the header as the MTA does (it ends at headerEnd) there may be two.
func author(raw *rawmsg.Message, headerEnd int64) (mailaddr.Address, string) {
	values := fieldValues(raw, "From")
	switch {
	case raw.HeaderCut || int64(raw.HeaderEnd) != headerEnd:
		return mailaddr.Address{}, "the header cannot be read whole"
	case len(values) == 0:
		return mailaddr.Address{}, "no header From"
	case len(values) > 1:
		return mailaddr.Address{}, "more than one header From"
	}
	boxes, err := mailaddr.ParseMailboxes(values[0])
	if err != nil {
		return mailaddr.Address{}, "the header From cannot be read"
	}
	if len(boxes) != 1 || boxes[0].Addr.Domain == "" {
		return mailaddr.Address{}, "the header From is not one mailbox"
	}
	return boxes[0].Addr, ""
}

// fieldValues returns the values of all fields of that name.
func fieldValues(raw *rawmsg.Message, name string) [][]byte {
	var vs [][]byte
	for i := range raw.Fields {
		if f := &raw.Fields[i]; f.Is(name) {
			vs = append(vs, f.Value)
		}
	}
	return vs
}

// signable returns why a message with the author from is not signed, "" when
// it may be. The rights of a login are asked besides.
func signable(cfg *Config, o origin, from mailaddr.Address) string {
	switch {
	case o.Direction == scan.Outbound && o.User != "":
		return ""
	case o.Direction == scan.Outbound:
		if !containsFold(o.Domains, from.Domain) {
			return "the network may not send for the domain of the header From"
		}
	case !containsFold(cfg.LocalSenders, from.Domain):
		return "the domain of the header From is not one of local_senders"
	}
	return ""
}

// edit is one change of the header. Value has neither the leading blank nor a
// final line end; "" deletes.
type edit struct {
	Op          response
	Index       int
	Name, Value string
}

// String is e for the journal: what was done, without the value.
func (e edit) String() string {
	switch e.Op {
	case respChangeHeader:
		return fmt.Sprintf("- %s #%d", e.Name, e.Index)
	case respInsertHeader:
		return fmt.Sprintf("+ %s at %d", e.Name, e.Index)
	}
	return "+ " + e.Name
}

// edits returns the changes of a message that is let in, in the order in which
// they go out: forged fields first, the highest index first.
func edits(cfg *Config, f facts, d decision) ([]edit, error) {
	gone := slices.Concat(f.Forged, f.Private)
	slices.SortFunc(gone, func(a, b fieldRef) int { return int(b.Start - a.Start) })
	var es []edit
	for _, r := range gone {
		es = append(es, edit{Op: respChangeHeader, Index: r.Index, Name: r.Name})
	}
	if f.Origin.Direction == scan.Inbound {
		ar, err := authResults(cfg, f)
		if err != nil {
			return nil, err
		}
		es = append(es, edit{Op: respInsertHeader, Index: 1, Name: "Authentication-Results", Value: ar})
		spf, err := receivedSPF(cfg, f.Auth)
		if err != nil {
			return nil, err
		}
		es = append(es, spf...)
		for _, h := range slices.Backward(f.Seal) {
			es = append(es, edit{Op: respInsertHeader, Index: 1, Name: h.Name, Value: h.Value})
		}
		if f.Scan != nil {
			fields, err := spamFields(*f.Scan, d.Verdict)
			if err != nil {
				return nil, err
			}
			for _, h := range fields {
				es = append(es, edit{Op: respAddHeader, Name: h.Name, Value: h.Value})
			}
		}
	}
	// Index 1 is below Postfix's own Received; what is inserted there last
	// stands first.
	for _, s := range slices.Backward(f.Signatures) {
		es = append(es, edit{Op: respInsertHeader, Index: 1, Name: "DKIM-Signature", Value: s})
	}
	return es, nil
}

// authResults returns the value of our Authentication-Results.
func authResults(cfg *Config, f facts) (string, error) {
	res := f.Auth.ResInfo()
	// auth goes behind iprev, where there is one: the order of the session.
	at := min(1, len(res))
	if at == 1 && res[0].Method != authres.IPRev {
		at = 0
	}
	if u := f.Origin.User; authres.Carries(u) {
		res = slices.Insert(res, at, authres.ResInfo{
			Method: authres.Auth, Result: authres.Pass,
			Props: []authres.Prop{{Property: authres.SMTPAuth, Value: u}},
		})
	}
	v, err := authres.Encode(cfg.AuthservID, res...)
	if err != nil {
		return "", fmt.Errorf("write Authentication-Results: %w", err)
	}
	return v, nil
}

// Bounds of the lines that X-Spamd-Result carries, so that it always fits.
const (
	maxSpamLines   = 50
	maxSpamOptions = 5
	maxSpamWord    = 150 // of a name or an option, escaped
)

// spamFields returns the fields that mail clients and Sieve scripts know from
// rspamd and SpamAssassin.
func spamFields(r scan.Result, v verdict.Verdict) ([]header.Field, error) {
	spam := v >= verdict.Mark
	flag, yes := "NO", "No"
	if spam {
		flag, yes = "YES", "Yes"
	}
	lines := r.Lines
	if len(lines) > maxSpamLines {
		lines = lines[:maxSpamLines]
	}
	result := make([]string, 0, len(lines))
	tests := make([]string, 0, len(lines))
	for _, l := range lines {
		result = append(result, spamLine(l))
		tests = append(tests, escape(l.Name))
	}
	var fields []header.Field
	var err error
	add := func(name, value string, more ...string) {
		h, e := header.New(name, value, more...)
		if e != nil && err == nil {
			err = fmt.Errorf("write %s: %w", name, e)
		}
		fields = append(fields, h)
	}
	if spam {
		add("X-Spam", "Yes")
	}
	if n := min(int(r.Score), 50); n > 0 {
		add("X-Spam-Level", strings.Repeat("*", n))
	}
	add("X-Spam-Flag", flag)
	add("X-Spam-Score", fmt.Sprintf("%.2f", r.Score))
	add("X-Spam-Status", fmt.Sprintf("%s, score=%.2f required=%.2f tests=[%s]", yes, r.Score, r.Thresholds.Mark, strings.Join(tests, ", ")))
	head := fmt.Sprintf("default: False [%.2f / %.2f]", r.Score, r.Thresholds.Reject)
	if len(result) > 0 {
		head += ";"
	}
	add("X-Spamd-Result", head, result...)
	return fields, err
}

// spamLine returns one line of X-Spamd-Result: SYM(score)[opts];
func spamLine(l verdict.Line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s(%.2f)[", escape(l.Name), l.Score)
	for i, o := range l.Options {
		if i == maxSpamOptions {
			b.WriteString(",...")
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(escape(o))
	}
	b.WriteString("];")
	return b.String()
}

// escape writes what a stranger may have typed so that it ends neither an
// option nor a line: %XX for what is not printable US-ASCII and for the
// characters of the field's own grammar. It is cut at maxSpamWord.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() <= maxSpamWord-3; i++ {
		if c := s[i]; c < ' ' || c >= 0x7f || strings.IndexByte("%[](),;", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
