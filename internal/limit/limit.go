// Package limit bounds what somebody may do in a time window: for now the
// recipients of a user's mail. The counters live in internal/state, so that
// they outlive a restart and, with a shared store, count over several hosts.
//
// State that is away is not this package's business: the embedded store
// counts in memory and writes when it can. Where a store does return an error,
// the limit that it concerns has no Result, and the caller lets the mail pass:
// a fault of ours must not stop anybody's mail.
//
// Several limits are not taken in one step. When another mail of the same user
// takes the last of a second limit between our question and our count, then the
// first limit has counted a mail that was refused. It never happens the other
// way: no window ever sees more than its rate.
package limit

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// By names what a limit counts by.
type By string

// ByUser counts by the account that logged in, whatever +detail it used.
const ByUser By = "user"

// MaxLimits bounds a list of limits: each is a question for each recipient.
const MaxLimits = 32

// maxNameBytes bounds a limit's name.
const maxNameBytes = 64

// Limit is one limit of recipients.
type Limit struct {
	// Name stands in the refusal and in lists: letters, digits, "-", "_", ".".
	Name string `yaml:"name" json:"name"`
	// By is what is counted by; empty means ByUser.
	By By `yaml:"by" json:"by"`
	// Rate is how many recipients may lie in any window of its length.
	Rate unit.Rate `yaml:"rate" json:"rate"`
	// Mode is off, observe or enforce; empty means enforce.
	Mode unit.Mode `yaml:"mode" json:"mode"`
}

// Enforced reports whether the limit refuses.
func (l Limit) Enforced() bool { return l.Mode == unit.Enforce || l.Mode == "" }

// by returns By with its default.
func (l Limit) by() By {
	if l.By == "" {
		return ByUser
	}
	return l.By
}

// Validate reports all that is wrong with l, by key.
func (l Limit) Validate() error {
	var errs []error
	if !validName(l.Name) {
		errs = append(errs, config.Invalid("name", "%q is not a name of letters, digits, \"-\", \"_\" and \".\" with at most %d bytes", l.Name, maxNameBytes))
	}
	if l.by() != ByUser {
		errs = append(errs, config.Invalid("by", "%q is unknown: use user", l.By))
	}
	switch {
	case l.Rate == unit.Rate{}:
		errs = append(errs, config.Invalid("rate", "is missing, such as 200/hour"))
	case l.Rate.Count > state.MaxCount:
		errs = append(errs, config.Invalid("rate", "%d is more than %d", l.Rate.Count, int64(state.MaxCount)))
	case l.Rate.Window < time.Second || l.Rate.Window > state.MaxWindow:
		errs = append(errs, config.Invalid("rate", "its window is not between 1s and %s", unit.Duration(state.MaxWindow)))
	}
	if l.Mode != "" {
		var m unit.Mode
		if err := m.UnmarshalText([]byte(l.Mode)); err != nil {
			errs = append(errs, config.Invalid("mode", "%v", err))
		}
	}
	return errors.Join(errs...)
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

// Result is what one limit says of n more.
type Result struct {
	Limit Limit
	// Key is whose count it is, for example the user's address.
	Key string
	// Asked is n.
	Asked int64
	// Allowed says that n was added, or would fit.
	Allowed bool
	// Used is the count in the window, with n when it was added.
	Used int64
	// Ends is when n would fit if it was not allowed, else when the window is
	// empty if nothing more is added. It is zero when n never fits.
	Ends time.Time
}

// Never reports whether n does not fit into an empty window either.
func (r Result) Never() bool { return r.Asked > r.Limit.Rate.Count }

// Refused returns the first result of an enforced limit that does not allow.
func Refused(results []Result) (Result, bool) {
	for _, r := range results {
		if !r.Allowed && r.Limit.Enforced() {
			return r, true
		}
	}
	return Result{}, false
}

// Usage is one counter, for a list of who used how much.
type Usage struct {
	// Limit is the limit's name; By and Key say whose count it is.
	Limit string `json:"limit"`
	By    By     `json:"by"`
	Key   string `json:"key"`
	Used  int64  `json:"used"`
	// Of is the limit's count, 0 when the configuration no longer has it.
	Of     int64         `json:"of"`
	Window unit.Duration `json:"window"`
	// Mode is empty when the configuration no longer has the limit.
	Mode unit.Mode `json:"mode,omitempty"`
	// Ends is when the window is empty if nothing more is counted.
	Ends time.Time `json:"ends"`
}
