package learn

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/learn/kept"
	"github.com/gatepost/gatepost/internal/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The files in the data directory.
const (
	weightsFile  = "classifier.weights"
	journalFile  = "learn.db"
	featuresFile = "features.db"
)

const (
	saveEvery = 30 * time.Second
	trimEvery = time.Hour
)

// ErrClosed means that the Learner was closed.
var ErrClosed = errors.New("learner is closed")

// accounts says what is known of mailboxes.
type accounts interface {
	// Held reports whether the mailbox's account is held or disabled, or is no
	// account.
	Held(ctx context.Context, user string) (bool, error)
	// Mailboxes counts those on this server.
	Mailboxes(ctx context.Context) (int, error)
}

// Learner owns the model. It is safe for concurrent use.
type Learner struct {
	dir      string
	cfg      atomic.Pointer[Config]
	log      *slog.Logger
	accounts accounts
	model    *classify.Model
	kept     *kept.Store
	db       *sqlite.DB
	shared   *shared // nil for a host that learns alone
	watch    atomic.Pointer[WatchStatus]
	noted    int // maxNoted, but for tests

	mu     sync.Mutex // guards the fields below, and every change of model
	seq    int64      // the last change
	saved  int64      // the last change that the file of weights has
	steps  map[int64][]byte
	tally  tally
	dead   error
	fault  func(at string) error // a test's crash, nil else
	replay int                   // changes that Open made again

	stop chan struct{}
	done sync.WaitGroup
}

// tally is the strength of what each mailbox has taught and still holds. It has
// as many entries as mailboxes have.
type tally struct {
	own   map[string]float64
	total float64
}

// parts is in how many parts a share is counted. As whole parts the sums are
// exact, and the same on all hosts in whatever order they are made.
const parts = 1 << 20

func (t *tally) add(user string, share float64) {
	share = math.Round(share*parts) / parts
	t.total += share
	if user == "" {
		return
	}
	if t.own[user] += share; t.own[user] == 0 {
		delete(t.own, user)
	}
}

// Deps are what a Learner asks; each may be nil.
type Deps struct {
	// Accounts says who may teach. Without, nobody is held, and every mailbox
	// that taught something counts as one.
	Accounts accounts
	// Stream is what the hosts that learn together share. Without one this host
	// learns alone.
	Stream Stream
}

// Open is OpenWith for a host that learns alone.
func Open(ctx context.Context, dir string, cfg Config, a accounts, log *slog.Logger) (*Learner, error) {
	return OpenWith(ctx, dir, cfg, Deps{Accounts: a}, log)
}

// OpenWith opens or makes the files in dir, and brings the model up to date. On
// a stream it goes on behind the last event that it performed; it does not wait
// for the stream.
func OpenWith(ctx context.Context, dir string, cfg Config, deps Deps, log *slog.Logger) (*Learner, error) {
	l := &Learner{dir: dir, log: log, accounts: deps.Accounts, noted: maxNoted, steps: map[int64][]byte{}, stop: make(chan struct{})}
	l.cfg.Store(&cfg)
	l.watch.Store(&WatchStatus{})
	err := l.open(ctx, cfg)
	if err == nil {
		err = l.join(ctx, deps.Stream)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("learner: %w", err), l.closeFiles())
	}
	l.done.Go(l.keepUp)
	return l, nil
}

func (l *Learner) open(ctx context.Context, cfg Config) (err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	o := sqlite.Options{Path: filepath.Join(l.dir, journalFile), Migrations: files, Readers: 2, Shrink: true, Log: l.log}
	if l.db, err = sqlite.Open(ctx, o); sqlite.IsCorrupt(err) {
		if err := l.setAside(ctx, o.Path, err); err != nil {
			return err
		}
		l.db, err = sqlite.Open(ctx, o)
	}
	if err != nil {
		return err
	}
	if l.kept, err = kept.Open(ctx, filepath.Join(l.dir, featuresFile), cfg.bounds(), l.log); err != nil {
		return err
	}
	weights := filepath.Join(l.dir, weightsFile)
	if l.model, err = classify.Open(weights); err != nil {
		if _, readErr := sumOf(weights); readErr != nil { // not even readable
			return err
		}
		if err := l.setAside(ctx, weights, err); err != nil {
			return err
		}
		l.model = classify.New()
	}
	return l.catchUp(ctx)
}

// setAside renames a damaged file: mail must not wait for somebody to mend it.
func (l *Learner) setAside(ctx context.Context, path string, cause error) error {
	aside, err := sqlite.SetAside(path, time.Now())
	if err != nil {
		return errors.Join(cause, err)
	}
	l.log.LogAttrs(ctx, slog.LevelError, "a file of the learned filter was damaged, a new one begins",
		slog.String("path", path), slog.String("kept_as", aside), slog.Any("err", cause))
	return nil
}

func (c Config) bounds() kept.Bounds { return kept.Bounds{Days: c.KeepDays, Bytes: int64(c.KeepBytes)} }

// Reconfigure takes a new configuration.
func (l *Learner) Reconfigure(cfg Config) {
	l.cfg.Store(&cfg)
	l.kept.Reconfigure(cfg.bounds())
}

// Score judges a message by its features.
func (l *Learner) Score(f *classify.Features) classify.Score { return l.model.Score(f) }

// ScoreItem judges a message by the features that Extract found in it.
func (l *Learner) ScoreItem(features []byte) (classify.Score, error) {
	var f classify.Features
	if err := f.UnmarshalBinary(features); err != nil {
		return classify.Score{}, fmt.Errorf("%w: %w", ErrFeatures, err)
	}
	return l.Score(&f), nil
}

// Keep keeps the features of a message that was scored; f is the caller's again
// when it returns. It never blocks.
func (l *Learner) Keep(t Trace, f *classify.Features) {
	b, err := f.AppendBinary(make([]byte, 0, 16<<10))
	if err != nil || len(b) > maxFeatures {
		return // it has no features, then; the file is still there
	}
	l.kept.Keep(t, append([]byte(nil), b...))
}

// keepUp writes the weights and trims, until Close.
func (l *Learner) keepUp() {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	ctx := context.Background() // of the learner itself
	for trimmed := (time.Time{}); ; {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if err := l.Save(ctx); err != nil {
			l.log.LogAttrs(ctx, slog.LevelError, "learned filter not saved", slog.Any("err", err))
		}
		if now := time.Now(); now.Sub(trimmed) >= trimEvery {
			trimmed = now
			if err := l.trim(ctx, now); err != nil {
				l.log.LogAttrs(ctx, slog.LevelWarn, "learn journal not trimmed", slog.Any("err", err))
			}
		}
	}
}

// Close saves the model and closes the files.
func (l *Learner) Close() error {
	l.mu.Lock()
	if l.dead != nil {
		l.mu.Unlock()
		return nil
	}
	err := l.save(context.Background())
	l.dead = ErrClosed
	l.mu.Unlock()
	close(l.stop)
	l.done.Wait()
	return errors.Join(err, l.closeFiles())
}

// ended returns why l takes nothing any more, nil if it does.
func (l *Learner) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func (l *Learner) closeFiles() error {
	var errs []error
	if l.kept != nil {
		errs = append(errs, l.kept.Close())
	}
	if l.db != nil {
		errs = append(errs, l.db.Close())
	}
	return errors.Join(errs...)
}

// at is where a test may let the process die.
func (l *Learner) at(point string) error {
	if l.fault == nil {
		return nil
	}
	return l.fault(point)
}
