package filter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/sieve"
	"github.com/gatepost/gatepost/internal/state"
)

// table has what scripts remember.
const table = state.Sieve

const (
	// maxMark bounds how long a script may have something remembered.
	maxMark = 366 * 24 * time.Hour
	// sentFor is how long it is known that a mail was sent for a message: as long
	// as Postfix tries, and a day.
	sentFor = 6 * 24 * time.Hour
)

// store is what memory needs of the state.
type store interface {
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
}

// memory is what the scripts of one user remember, as a message sees it: what an
// earlier try of the same message left does not count, so that a second try
// decides as the first.
type memory struct {
	store  store
	user   mailaddr.Address
	source maildir.Key
}

// key returns the key of a mark. A user cannot reach another's.
func (m memory) key(kind, id string) string {
	sum := sha256.Sum256([]byte(id))
	return kind + "/" + m.user.Folded().String() + "/" + hex.EncodeToString(sum[:16])
}

// own returns what marks of this message hold.
func (m memory) own() string {
	if m.source == (maildir.Key{}) {
		return ""
	}
	return hex.EncodeToString(m.source[:])
}

// Seen reports whether another message left the mark.
func (m memory) Seen(ctx context.Context, id string) (bool, error) {
	e, err := m.store.Get(ctx, table, m.key("mark", id))
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	return err == nil && (m.own() == "" || string(e.Value) != m.own()), err
}

// remember keeps marks.
func (m memory) remember(ctx context.Context, marks []sieve.Mark, now time.Time, sync bool) error {
	var errs []error
	for _, mark := range marks {
		if mark.For <= 0 {
			continue
		}
		e := state.Entry{Key: m.key("mark", mark.ID), Value: []byte(m.own()), Expires: now.Add(min(mark.For, maxMark))}
		errs = append(errs, m.store.Put(ctx, table, e, sync))
	}
	return errors.Join(errs...)
}

// sent reports whether an earlier try of this message has sent the mail id.
func (m memory) sent(ctx context.Context, id string) (bool, error) {
	if m.own() == "" {
		return false, nil
	}
	_, err := m.store.Get(ctx, table, m.key("sent", m.own()+id))
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// noteSent keeps that the mail id was sent for this message.
func (m memory) noteSent(ctx context.Context, id string, now time.Time) error {
	if m.own() == "" {
		return nil
	}
	return m.store.Put(ctx, table, state.Entry{Key: m.key("sent", m.own()+id), Value: []byte{1}, Expires: now.Add(sentFor)}, true)
}
