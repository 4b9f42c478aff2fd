package script

import (
	"fmt"

	"github.com/gatepost/gatepost/internal/unit"
)

// Quota says which bound a script would break.
type Quota int

// The bounds of Config.
const (
	QuotaBytes   Quota = iota + 1 // of one script
	QuotaScripts                  // their number
	QuotaStorage                  // their bytes together
)

// QuotaError means that a script is too large, or one too many.
type QuotaError struct {
	Quota Quota
	// Max is what Config allows: bytes or scripts.
	Max int64
}

// Error tells the bound.
func (e *QuotaError) Error() string {
	switch e.Quota {
	case QuotaBytes:
		return fmt.Sprintf("the script is larger than %s", unit.Size(e.Max))
	case QuotaScripts:
		return fmt.Sprintf("there are %d scripts already, which is all that are allowed", e.Max)
	}
	return fmt.Sprintf("the scripts would be larger than %s together", unit.Size(e.Max))
}

// room returns a *QuotaError if a script name of so many bytes would break a
// bound. The one that it replaces is not counted; a user who has more scripts
// than allowed may still change them.
func (c Config) room(have []Info, name string, size int64) error {
	if c.MaxBytes > 0 && size > c.MaxBytes {
		return &QuotaError{QuotaBytes, c.MaxBytes}
	}
	total, replaces := size, false
	for _, i := range have {
		if i.Name == name {
			replaces = true
			continue
		}
		total += i.Size
	}
	switch {
	case c.MaxScripts > 0 && !replaces && len(have) >= c.MaxScripts:
		return &QuotaError{QuotaScripts, int64(c.MaxScripts)}
	case c.MaxStorage > 0 && total > c.MaxStorage:
		return &QuotaError{QuotaStorage, c.MaxStorage}
	}
	return nil
}
