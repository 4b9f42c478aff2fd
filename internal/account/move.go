package account

import (
	"context"
	"fmt"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/secret"
)

// OwnKey is a key of our own: see Backend.
type OwnKey struct {
	Name  string
	Value secret.Value
}

// Sizes of an own key, in bytes.
const (
	OwnKeyBytes   = 32
	MaxOwnKeyName = 64
)

// Mover takes rows as another store had them, with the times that Writer sets
// itself, and hands out what has no other way out. Everything else moves by
// Reader, Writer and Standings.
type Mover interface {
	// OwnKeys lists the keys of our own, by name.
	OwnKeys(ctx context.Context) ([]OwnKey, error)
	// PutOwnKey keeps k in place of a key of that name.
	PutOwnKey(ctx context.Context, k OwnKey) error
	// PutAppPassword is AddAppPassword that keeps Created and the last use.
	PutAppPassword(ctx context.Context, p AppPassword) error
	// PutAccess is AddAccess that keeps Added, and takes an entry that has ended.
	PutAccess(ctx context.Context, e access.Entry) error
}

// Valid returns nil for a key that can be stored.
func (k OwnKey) Valid() error {
	if k.Name == "" || len(k.Name) > MaxOwnKeyName || len(k.Value.Reveal()) != OwnKeyBytes {
		return fmt.Errorf("%w: a key of our own has a name of 1 to %d bytes, and %d bytes itself", ErrInvalid, MaxOwnKeyName, OwnKeyBytes)
	}
	return nil
}
