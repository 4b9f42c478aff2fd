package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/learn/trace"
)

const (
	// maxMoves bounds what is learned of one look; of more the newest count.
	maxMoves = 2000
	// maxWeak is how much weak ham is learned of a mailbox a day.
	maxWeak = 10
	// moreBytes is what a file has beyond what the milter saw, at most.
	moreBytes = 256 << 10
	// defaultBytes is read of a file when the milter reads all.
	defaultBytes = 64 << 20
	chunk        = 100
	// maxAsked is how many messages of a look are held against the list of
	// correspondents.
	maxAsked = 50
)

// look compares a mailbox with what it was, learns, and remembers. What it
// learned and could not remember is learned already the next time.
func (w *Watcher) look(ctx context.Context, b *box, now time.Time) error {
	blob, err := w.deps.Learner.Seen(ctx, b.user)
	if err != nil {
		return err
	}
	before, err := decodeSeen(blob)
	if err != nil {
		before = nil // new to us, or of another version: nothing is learned
	}
	w.mu.Lock()
	fresh := b.fresh
	b.fresh = nil
	w.mu.Unlock()
	l, err := w.list(ctx, b, before, now)
	if err != nil {
		return err
	}
	arrived := func(base string) bool {
		if _, ok := fresh[nameOf(base)]; ok {
			return true
		}
		if w.deps.Filings == nil {
			return false
		}
		inJunk, ok := w.deps.Filings.Filed(ctx, base)
		return ok && !inJunk
	}
	after, moves := compare(before, l, now, arrived)
	if err := w.learnMoves(ctx, b, moves, now); err != nil {
		return err
	}
	if l.full && before != nil {
		if err := w.learnWeak(ctx, b, after, l, now); err != nil {
			return err
		}
	}
	return w.remember(ctx, b, blob, after)
}

// list looks into the inbox and Junk, and into all folders if need be.
func (w *Watcher) list(ctx context.Context, b *box, before *seen, now time.Time) (listing, error) {
	of := lister{folders: w.folders, now: now, most: maxFiles}
	if before != nil {
		of.known = before.entries
		if now.Sub(b.full) < fullEvery {
			l, err := of.list(ctx, b.maildir, false)
			if err != nil || !changed(before, l) {
				return l, err
			}
		}
	}
	l, err := of.list(ctx, b.maildir, true)
	if err == nil {
		b.full = now
	}
	return l, err
}

func (w *Watcher) remember(ctx context.Context, b *box, blob []byte, s *seen) error {
	next := s.appendBinary(make([]byte, 0, len(blob)+entryBytes))
	if err := w.deps.Learner.SetSeen(ctx, b.user, next); err != nil {
		return fmt.Errorf("remember mailbox: %w", err)
	}
	return nil
}

// learnMoves hands moves on, by class and in order.
func (w *Watcher) learnMoves(ctx context.Context, b *box, moves []move, now time.Time) error {
	b.moved = slices.DeleteFunc(b.moved, func(t time.Time) bool { return now.Sub(t) > time.Minute })
	if len(moves) > maxMoves {
		w.log.LogAttrs(ctx, slog.LevelWarn, "too many messages moved at once, the oldest are not learned",
			slog.String("user", b.user), slog.Int("moved", len(moves)))
		moves = moves[len(moves)-maxMoves:]
	}
	minute := len(b.moved) + len(moves)
	for len(moves) > 0 {
		n := 1
		for n < len(moves) && n < chunk && moves[n].spam == moves[0].spam {
			n++
		}
		wish := learn.Wish{Spam: moves[0].spam, Source: learn.Move, User: b.user, Minute: minute}
		for _, m := range moves[:n] {
			if err := w.take(ctx, &wish, m.found); err != nil {
				return err
			}
		}
		if err := w.wish(ctx, wish); err != nil {
			return err
		}
		moves = moves[n:]
		for range n {
			b.moved = append(b.moved, now)
		}
	}
	return nil
}

// take adds a message to a wish. One that is gone again is left out.
func (w *Watcher) take(ctx context.Context, wish *learn.Wish, f found) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	it, _, err := w.item(f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		w.log.LogAttrs(ctx, slog.LevelWarn, "moved message not read", slog.String("user", wish.User), slog.Any("err", err))
		return nil
	}
	wish.Items = append(wish.Items, it)
	return nil
}

func (w *Watcher) item(f found) (learn.Item, []byte, error) {
	most := defaultBytes
	if n := w.cfg.Trace.ScanBytes; n > 0 {
		most = n + moreBytes
	}
	file, err := readMessage(f.path, most)
	if err != nil {
		return learn.Item{}, nil, err
	}
	it, err := learn.Extract(file, w.cfg.Trace, nil)
	it.File = nameOf(f.base)
	return it, file, err
}

func (w *Watcher) wish(ctx context.Context, wish learn.Wish) error {
	if len(wish.Items) == 0 {
		return nil
	}
	r, err := w.deps.Learner.Learn(ctx, wish)
	if err != nil {
		return err
	}
	w.log.LogAttrs(ctx, slog.LevelInfo, "mailbox taught the filter", slog.String("user", wish.User),
		slog.String("class", learn.Class(wish.Spam)), slog.String("source", string(wish.Source)),
		slog.Int("learned", r.Count(learn.New)+r.Count(learn.Corrected)), slog.Int("already", r.Count(learn.Already)),
		slog.Int("refused", r.Count(learn.Refused)), slog.Int("waiting", r.Count(learn.Waiting)),
		slog.Int("queued", r.Count(learn.Queued)))
	return nil
}

// learnWeak learns what nobody called ham and what probably is. Only mail that
// came through the Postfix here counts: not what users wrote, nor old mail that
// was copied in.
func (w *Watcher) learnWeak(ctx context.Context, b *box, s *seen, l listing, now time.Time) error {
	asked := 0
	known := func(f found) bool {
		asked++
		return asked <= maxAsked && w.correspondent(ctx, b, f)
	}
	wish := learn.Wish{Source: learn.Weak, User: b.user}
	for _, f := range weakHam(s, l, now, maxWeak, known) {
		e := s.entries[nameOf(f.base)]
		e.weak = true
		s.entries[e.name] = e
		it, _, err := w.item(f)
		if err == nil && it.Trace.QueueID != "" {
			wish.Items = append(wish.Items, it)
		}
	}
	return w.wish(ctx, wish)
}

// correspondent reports whether f comes from somebody to whom the user has
// written. The milter wrote that DMARC passed: anybody can write a From.
func (w *Watcher) correspondent(ctx context.Context, b *box, f found) bool {
	if w.deps.Correspondents == nil {
		return false
	}
	head, err := readMessage(f.path, 64<<10)
	if err != nil {
		return false
	}
	author, ok := trace.Author(head, w.cfg.Trace)
	return ok && w.deps.Correspondents.Correspondent(ctx, b.user, author)
}
