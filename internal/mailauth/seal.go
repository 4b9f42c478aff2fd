package mailauth

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
)

// ErrNotSealable is a message whose body was not hashed for a seal: Input.Seal
// did not ask for it, or the checks ended before the message did.
var ErrNotSealable = errors.New("message was not hashed for a seal")

// sealable is what a seal needs of a message.
type sealable struct {
	m    *dkim.Message
	body *dkim.BodyHash
}

// Seal returns the fields of a new ARC set in the order in which they stand on
// top of the message (arc.Sealer.Seal); results is the value of our
// Authentication-Results. It comes after Check with Input.Seal, and not
// concurrently. A panic is an error: no message is lost for its seal.
func (r Results) Seal(s arc.Sealer, results string, now time.Time) (fields []header.Field, err error) {
	if r.sealable == nil {
		return nil, ErrNotSealable
	}
	defer func() {
		if v := recover(); v != nil {
			fields, err = nil, fmt.Errorf("seal: panic: %v", v)
		}
	}()
	return s.Seal(r.sealable.m, r.sealable.body, r.ARC, results, now)
}
