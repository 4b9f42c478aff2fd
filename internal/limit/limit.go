// Package limit bounds what somebody may do in a time window: recipients,
// messages, bytes, by any key that a request and its facts give. The counters
// live in internal/state, so that they outlive a restart and, with a shared
// store, count over several hosts.
//
// All limits that concern a mail are taken in one step: a mail that one of them
// refuses has counted on none, and no window ever holds more than its rate. A
// counter is careful by at most a sixtieth of its window.
//
// Whose rate it is: what was set by hand for a key (Limiter.Set) goes before
// what the account store has for the user, for a group of the user and for the
// domain, in this order (Mail.Stored), then come the overrides of the
// configuration, then the limit's own rate.
//
// State that is away is not this package's business: the embedded store
// counts in memory and writes when it can, at most a second late, which is what
// a crash may cost. Where a store does return an error there are no results,
// and the caller lets the mail pass: a fault of ours must not stop anybody's
// mail.
//
// Limits of this package: distinct recipients are a set in the store, guarded
// by a lock of this process, so that several hosts with one store may pass a few
// too many; a mail that is given back (Limiter.Give) leaves its recipients in
// that set.
package limit

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// By names what a limit counts by: one of the words below, or several with
// commas between them.
type By string

// The parts of a key. A mail that lacks one of a limit's parts is not concerned.
const (
	// ByUser is the account that logged in, whatever +detail it used.
	ByUser By = "user"
	// ByUserDomain is the domain of that account.
	ByUserDomain By = "user_domain"
	// ByClient is the client's address.
	ByClient By = "client"
	// ByClientNetwork is the client's /24 or /64.
	ByClientNetwork By = "client_network"
	// BySender is the envelope sender without its +detail; the null sender has
	// none.
	BySender By = "sender"
	// BySenderDomain is its domain.
	BySenderDomain By = "sender_domain"
	// ByRecipientDomain is the domain of each recipient, by itself.
	ByRecipientDomain By = "recipient_domain"
)

// bys has every part of a key.
var bys = []By{ByUser, ByUserDomain, ByClient, ByClientNetwork, BySender, BySenderDomain, ByRecipientDomain}

// parts splits b; an empty one is ByUser.
func (b By) parts() []By {
	if b == "" {
		return []By{ByUser}
	}
	var out []By
	for p := range strings.SplitSeq(string(b), ",") {
		out = append(out, By(strings.TrimSpace(p)))
	}
	return out
}

// Of names what a limit counts.
type Of string

// What can be counted.
const (
	Recipients Of = "recipients"
	Messages   Of = "messages"
	// Bytes is the size of the message, once whatever its recipients.
	Bytes Of = "bytes"
	// DistinctRecipients counts a recipient once for each window.
	DistinctRecipients Of = "distinct_recipients"
	// NewRecipients counts those to whom the user never wrote before.
	NewRecipients Of = "new_recipients"
	// Bounces counts messages with the null sender.
	Bounces Of = "bounces"
)

var ofs = []Of{Recipients, Messages, Bytes, DistinctRecipients, NewRecipients, Bounces}

// Direction says whose mail a limit concerns.
type Direction string

// The directions; none means both.
const (
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
)

// MaxLimits bounds a list of limits: each is a question for each recipient.
const MaxLimits = 32

// maxNameBytes bounds a limit's name.
const maxNameBytes = 64

// Limit is one limit.
type Limit struct {
	// Name stands in the refusal and in lists: letters, digits, "-", "_", ".".
	Name string `yaml:"name" json:"name"`
	// By is what is counted by; empty means ByUser.
	By By `yaml:"by" json:"by"`
	// Of is what is counted; empty means Recipients.
	Of Of `yaml:"of" json:"of"`
	// Rate is how many may lie in any window of its length.
	Rate Rates `yaml:"rate" json:"rate"`
	// Burst is how many may lie in any minute; none means no such bound.
	Burst int64 `yaml:"burst" json:"burst,omitempty"`
	// Direction is inbound or outbound; empty means both.
	Direction Direction `yaml:"direction" json:"direction,omitempty"`
	// Overrides are other rates for some; the first that fits counts. What the
	// account store has for a user goes before them.
	Overrides []Override `yaml:"overrides" json:"overrides,omitempty"`
	// Mode is off, observe or enforce; empty means enforce.
	Mode unit.Mode `yaml:"mode" json:"mode"`
}

// burstWindow is the window of Burst.
const burstWindow = time.Minute

// Enforced reports whether the limit refuses.
func (l *Limit) Enforced() bool { return l.Mode == unit.Enforce || l.Mode == "" }

// Counts returns Of with its default.
func (l *Limit) Counts() Of {
	if l.Of == "" {
		return Recipients
	}
	return l.Of
}

// by returns By in its normal form.
func (l *Limit) by() By {
	parts := l.By.parts()
	out := string(parts[0])
	for _, p := range parts[1:] {
		out += "," + string(p)
	}
	return By(out)
}

// rates returns r with the burst.
func (l *Limit) rates(r Rates) Rates {
	if l.Burst == 0 {
		return r
	}
	return append(append(Rates{}, r...), Rate{Count: l.Burst, Window: burstWindow, Bytes: l.Counts() == Bytes})
}

// Validate reports all that is wrong with l, by key.
func (l Limit) Validate() error {
	var errs []error
	if !validName(l.Name) {
		errs = append(errs, config.Invalid("name", "%q is not a name of letters, digits, \"-\", \"_\" and \".\" with at most %d bytes", l.Name, maxNameBytes))
	}
	if err := l.validBy(); err != nil {
		errs = append(errs, config.Invalid("by", "%v", err))
	}
	if !slices.Contains(ofs, l.Counts()) {
		errs = append(errs, config.Invalid("of", "%q is unknown: use %s", l.Of, words(ofs)))
	}
	if err := l.Rate.valid(l.Counts()); err != nil {
		errs = append(errs, config.Invalid("rate", "%v", err))
	}
	if err := l.validBurst(); err != nil {
		errs = append(errs, config.Invalid("burst", "%v", err))
	}
	if l.Direction != "" && l.Direction != Inbound && l.Direction != Outbound {
		errs = append(errs, config.Invalid("direction", "%q is not inbound or outbound", l.Direction))
	}
	for i, o := range l.Overrides {
		errs = append(errs, config.Under(fmt.Sprintf("overrides[%d]", i), o.validate(l.Counts())))
	}
	if l.Mode != "" {
		var m unit.Mode
		if err := m.UnmarshalText([]byte(l.Mode)); err != nil {
			errs = append(errs, config.Invalid("mode", "%v", err))
		}
	}
	return errors.Join(errs...)
}

func (l *Limit) validBy() error {
	seen := map[By]bool{}
	for _, p := range l.By.parts() {
		if !slices.Contains(bys, p) {
			return fmt.Errorf("%q is unknown: use %s, or several with commas", p, words(bys))
		}
		if seen[p] {
			return fmt.Errorf("%q is there twice", p)
		}
		seen[p] = true
	}
	if l.Counts() == NewRecipients && !seen[ByUser] && !seen[ByUserDomain] {
		return errors.New("new_recipients are counted by user or user_domain: only of users is known to whom they wrote")
	}
	return nil
}

func (l *Limit) validBurst() error {
	if l.Burst < 0 {
		return fmt.Errorf("%d is less than none", l.Burst)
	}
	for _, r := range l.Rate {
		if l.Burst > 0 && r.Window == burstWindow {
			return errors.New("rate has a window of one minute already")
		}
	}
	return nil
}

// words lists all for a person.
func words[T ~string](all []T) string {
	out := string(all[0])
	for _, w := range all[1:] {
		out += ", " + string(w)
	}
	return out
}

// ValidateAll reports all that is wrong with a list of limits, with keys such
// as "[0].rate".
func ValidateAll(limits []Limit) error {
	var errs []error
	if len(limits) > MaxLimits {
		errs = append(errs, config.Invalid("", "%d limits are more than %d", len(limits), MaxLimits))
	}
	seen := map[string]bool{}
	for i, l := range limits {
		at := fmt.Sprintf("[%d]", i)
		errs = append(errs, config.Under(at, l.Validate()))
		if seen[l.Name] {
			errs = append(errs, config.Invalid(at+".name", "%q is the name of another limit", l.Name))
		}
		seen[l.Name] = true
	}
	return errors.Join(errs...)
}

func validName(s string) bool {
	if s == "" || len(s) > maxNameBytes {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// Mail is what limits look at. The addresses are in lower case and without
// +detail.
type Mail struct {
	// Now is the time; zero means that the clock is asked.
	Now      time.Time
	Outbound bool
	User     string // of the login
	Sender   string
	Client   netip.Addr
	// Bounce says that the sender is the null sender.
	Bounce bool
	// Recipients is how many there are; Rcpts are those that are known, which
	// may be fewer.
	Recipients int64
	Rcpts      []Rcpt
	// Bytes is the size.
	Bytes int64
	// Groups are those of the account store that User is in, and Stored the rates
	// that it has for User, the nearest first.
	Groups []string
	Stored []Stored
	// Memo is the asker's, nil for none. The results are then the Memo's, and
	// hold until it is used again; what they point to holds on.
	Memo *Memo
}

// Stored is a rate of the account store for whoever a mail is from.
type Stored struct {
	Limit string
	// Rate is as ParseRates reads it.
	Rate string
}

// Rcpt is one recipient.
type Rcpt struct {
	// ID stands for the address, the same in every process.
	ID     uint64
	Domain string
	// New says that the user never wrote to it before.
	New bool
}

// Result is what one window of a limit says of a mail.
type Result struct {
	Limit *Limit
	Rate  Rate
	// Span is the window as it is written.
	Span string
	// Key is whose count it is, for example the user's address.
	Key string
	// Asked is how much the mail would add.
	Asked int64
	// Allowed says that it was added, or would fit.
	Allowed bool
	// Used is the count in the window, with what was added.
	Used int64
	// Ends is when it would fit if it was not allowed, else when the window is
	// empty if nothing more is added. It is zero when it never fits.
	Ends time.Time

	counter string // its key in the store; empty for distinct recipients
	at      time.Time
}

// Never reports whether the mail does not fit into an empty window either.
func (r *Result) Never() bool { return r.Asked > r.Rate.Count }

// Refused returns the first result of an enforced limit that does not allow, or
// nil.
func Refused(results []Result) *Result {
	for i := range results {
		if r := &results[i]; !r.Allowed && r.Limit.Enforced() {
			return r
		}
	}
	return nil
}
