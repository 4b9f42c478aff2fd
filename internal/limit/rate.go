package limit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// Rate is so many in any window of a length. Bytes says that it counts bytes
// and is written with a size.
type Rate struct {
	Count  int64
	Window time.Duration
	Bytes  bool
}

// Rates are the windows of one limit; all of them hold.
type Rates []Rate

// maxRates bounds the windows of a limit: each is a counter for each key.
const maxRates = 4

// Per returns the one rate of count in window.
func Per(count int64, window time.Duration) Rates { return Rates{{Count: count, Window: window}} }

// ParseRates reads what Rates.UnmarshalText does.
func ParseRates(s string) (Rates, error) {
	var r Rates
	err := r.UnmarshalText([]byte(s))
	return r, err
}

// UnmarshalText reads rates with commas between them: "200/hour, 1000/day", or
// "1GB/day" where bytes are counted.
func (r *Rates) UnmarshalText(b []byte) error {
	var out Rates
	for part := range strings.SplitSeq(string(b), ",") {
		one, err := parseRate(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		out = append(out, one)
	}
	*r = out
	return nil
}

func parseRate(s string) (Rate, error) {
	var u unit.Rate
	if err := u.UnmarshalText([]byte(s)); err == nil {
		return Rate{Count: u.Count, Window: u.Window}, nil
	}
	count, span, ok := strings.Cut(s, "/")
	var z unit.Size
	if !ok || z.UnmarshalText([]byte(strings.TrimSpace(count))) != nil || u.UnmarshalText([]byte("0/"+span)) != nil {
		return Rate{}, fmt.Errorf("%q is not a rate such as 200/hour, 30/10m or 1GB/day", s)
	}
	return Rate{Count: int64(z), Window: u.Window, Bytes: true}, nil
}

// MarshalText writes r as UnmarshalText reads it.
func (r Rates) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the text of MarshalText.
func (r Rates) String() string {
	all := make([]string, len(r))
	for i, one := range r {
		all[i] = one.String()
	}
	return strings.Join(all, ", ")
}

// String returns r as ParseRates reads it.
func (r Rate) String() string {
	return r.amount(r.Count) + "/" + unit.Duration(r.Window).String()
}

// amount writes n in what r counts.
func (r Rate) amount(n int64) string {
	if r.Bytes {
		return unit.Size(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// valid reports what is wrong with r for a limit that counts of.
func (r Rates) valid(of Of) error {
	if len(r) == 0 {
		return errors.New("is missing, such as 200/hour")
	}
	if len(r) > maxRates {
		return fmt.Errorf("%d windows are more than %d", len(r), maxRates)
	}
	seen := map[time.Duration]bool{}
	for _, one := range r {
		if err := one.valid(of); err != nil {
			return err
		}
		if seen[one.Window] {
			return fmt.Errorf("the window %s is there twice", unit.Duration(one.Window))
		}
		seen[one.Window] = true
	}
	return nil
}

func (r Rate) valid(of Of) error {
	most := int64(state.MaxCount)
	if of == DistinctRecipients {
		most = maxDistinct
	}
	switch {
	case r.Count > most:
		return fmt.Errorf("%s is more than %s", r.amount(r.Count), r.amount(most))
	case r.Window < time.Second || r.Window > state.MaxWindow:
		return fmt.Errorf("its window is not between 1s and %s", unit.Duration(state.MaxWindow))
	case r.Bytes && of != Bytes:
		return fmt.Errorf("%q is a size, and %s are counted", r, of)
	case !r.Bytes && of == Bytes:
		return fmt.Errorf("%q has no unit, such as 1GB/day", r)
	}
	return nil
}
