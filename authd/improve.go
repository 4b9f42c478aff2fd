package authd

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

// better is what is done for stored passwords behind a right login.
type better struct {
	// queue has a place for each login that waits to have its password hashed
	// anew, turn the one place of who is at it.
	queue, turn chan struct{}

	mu sync.Mutex
	// warned is when a weak scheme was last told of. Guarded by mu.
	warned map[password.Scheme]time.Time
}

// Bounds of better. A login that finds the queue full is left as it is: the next
// one of that user asks again.
const (
	maxRehash  = 32
	rehashTime = time.Minute
	// verifyTime is for looking at what was stored. The store can not be written
	// meanwhile, so that under a flood of logins the change is taken back.
	verifyTime = 2 * time.Second
	// weakTime is how often a weak scheme is told of.
	weakTime = 24 * time.Hour
)

func newBetter() *better {
	return &better{queue: make(chan struct{}, maxRehash), turn: make(chan struct{}, 1), warned: make(map[password.Scheme]time.Time)}
}

// weak reports whether s is weak and was not told of today.
func (b *better) weak(s password.Scheme, now time.Time) (why string, tell bool) {
	why, weak := password.Weak(s)
	if !weak {
		return "", false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if last, ok := b.warned[s]; ok && now.Sub(last) < weakTime {
		return "", false
	}
	b.warned[s] = now
	return why, true
}

// warnWeak tells the operator of a weak scheme behind a right password.
func (s *Server) warnWeak(ctx context.Context, l *login) {
	if l.app.ID != 0 {
		return
	}
	scheme, err := s.passwords.Scheme(l.user.Password)
	if err != nil {
		return // it was changed meanwhile to what the next login will tell of
	}
	if why, tell := s.better.weak(scheme, time.Now()); tell {
		s.log.LogAttrs(ctx, slog.LevelWarn, "weak password scheme in use", slog.String("rule", string(scheme)), slog.String("err", why))
	}
}

// improve hashes the right password of a login, whose answer is out, anew where
// the settings say so. The connection may end meanwhile (a login process of
// Dovecot does); when ending is closed, no more is begun.
func (s *Server) improve(ctx context.Context, l *login, ending <-chan struct{}) {
	want := s.cfg.Load().scheme(s.cfg.Load().Rehash)
	store, ok := s.accounts.(account.Rehasher)
	if !ok || want == "" || l.app.ID != 0 || !s.passwords.NeedsRehash(l.user.Password, want, l.cred.password.Reveal()) {
		return
	}
	select {
	case s.better.queue <- struct{}{}:
		defer func() { <-s.better.queue }()
	default:
		return
	}
	select {
	case s.better.turn <- struct{}{}:
		defer func() { <-s.better.turn }()
	case <-ending:
		return
	}
	if err := s.rehash(context.WithoutCancel(ctx), store, l, want); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "password not hashed anew", slog.String("user", l.shown), slog.Any("err", err))
	}
}

// rehash changes the stored password of l to another scheme. A password that
// changed meanwhile is left alone.
func (s *Server) rehash(ctx context.Context, store account.Rehasher, l *login, want password.Scheme) error {
	ctx, cancel := context.WithTimeout(ctx, rehashTime)
	defer cancel()
	pw := l.cred.password.Reveal()
	hash, err := s.passwords.Hash(ctx, want, pw)
	if err != nil {
		return err
	}
	err = store.Rehash(ctx, l.name, l.user.Password, hash, func(stored secret.Value) error {
		ctx, cancel := context.WithTimeout(ctx, verifyTime)
		defer cancel()
		ok, err := s.passwords.Verify(ctx, stored, pw)
		if err == nil && !ok {
			err = errors.New("what was stored does not verify")
		}
		return err
	})
	if errors.Is(err, account.ErrChanged) || errors.Is(err, account.ErrNotFound) {
		return nil
	}
	if err == nil {
		s.log.LogAttrs(ctx, slog.LevelInfo, "password hashed anew", slog.String("user", l.shown), slog.String("rule", string(want)))
	}
	return err
}
