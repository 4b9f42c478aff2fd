package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

const (
	// settle is how long after a change in Junk a mailbox is looked at: a move
	// is two steps. settleInbox is that for the inbox, where the events tell
	// enough meanwhile.
	settle      = 3 * time.Second
	settleInbox = time.Minute
	// scanEvery is how often a mailbox is looked at that the kernel does not
	// tell of, fullEvery how often every one is.
	scanEvery = 15 * time.Minute
	fullEvery = 24 * time.Hour
	// findEvery is how often new mailboxes are looked for.
	findEvery = 5 * time.Minute
	// idle is how many times as long as it worked the watcher rests.
	idle = 4
	// maxFresh bounds the names that events told of one inbox.
	maxFresh = 256
	// maxMailboxes bounds the mailboxes.
	maxMailboxes = 200_000
)

// learner is what the watcher needs of package learn.
type learner interface {
	Learn(ctx context.Context, w learn.Wish) (learn.Result, error)
	Seen(ctx context.Context, mailbox string) ([]byte, error)
	SetSeen(ctx context.Context, mailbox string, seen []byte) error
	ReportWatch(s learn.WatchStatus)
}

// Filings knows where our own delivery put messages.
type Filings interface {
	// Filed reports whether our delivery put the file with that base name into
	// Junk; ok is false when it does not know the name.
	Filed(ctx context.Context, base string) (junk, ok bool)
}

// Correspondents knows with whom users exchange mail.
type Correspondents interface {
	// Correspondent reports whether the user has written to that address.
	Correspondent(ctx context.Context, user string, author mailaddr.Address) bool
}

// Deps are what a Watcher asks. Filings and Correspondents may be nil.
type Deps struct {
	Learner        learner
	Filings        Filings
	Correspondents Correspondents
}

// Config says where the mailboxes are.
type Config struct {
	// MailRoot has DOMAIN/LOCALPART/Maildir.
	MailRoot    string
	Junk, Trash []string
	Trace       learn.TraceConfig
}

// Watcher looks at all mailboxes below a mail root. Build it with New.
type Watcher struct {
	cfg     Config
	folders folders
	deps    Deps
	log     *slog.Logger

	mu    sync.Mutex // guards the fields below
	boxes map[string]*box
	dirs  map[string]*box // by a watched directory
	full  bool            // the kernel takes no more watches

	told bool // that it is full; of Run alone
}

// box is one mailbox.
type box struct {
	user, maildir string
	due           time.Time
	full          time.Time // when all of it was looked at
	watched       bool
	fresh         map[uint64]struct{} // names that events told of
	moved         []time.Time         // moves of the last minute
}

// New returns a Watcher.
func New(cfg Config, deps Deps, log *slog.Logger) *Watcher {
	return &Watcher{cfg: cfg, folders: newFolders(cfg.Junk, cfg.Trash), deps: deps, log: log,
		boxes: map[string]*box{}, dirs: map[string]*box{}}
}

// Run watches until ctx ends, and then returns nil. Without inotify it looks at
// each mailbox now and then.
func (w *Watcher) Run(ctx context.Context) error {
	events, err := fsnotify.NewBufferedWatcher(1024)
	if err != nil {
		w.log.LogAttrs(ctx, slog.LevelWarn, "the kernel tells nothing of mailboxes; they are looked at every 15 minutes",
			slog.Any("err", err), slog.String("remedy", "raise fs.inotify.max_user_instances"))
		events = nil
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if events != nil {
		defer events.Close()
		wg.Go(func() { w.hear(ctx, events) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for found := (time.Time{}); ; {
		if now := time.Now(); now.Sub(found) >= findEvery {
			found = now
			w.find(ctx, events)
		}
		w.work(ctx, events)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// hear takes what the kernel tells until ctx ends.
func (w *Watcher) hear(ctx context.Context, events *fsnotify.Watcher) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events.Events:
			if !ok {
				return
			}
			w.event(e, time.Now())
		case err, ok := <-events.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				w.allDue(time.Now())
				continue
			}
			w.log.LogAttrs(ctx, slog.LevelWarn, "watching mailboxes", slog.Any("err", err))
		}
	}
}

// event makes a mailbox due.
func (w *Watcher) event(e fsnotify.Event, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dir := filepath.Dir(e.Name)
	b := w.dirs[dir]
	if of := w.dirs[e.Name]; of != nil && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
		delete(w.dirs, e.Name) // with the directory the kernel's watch went
		b = of
	}
	if b == nil {
		return
	}
	after := settle
	switch {
	case dir == b.maildir: // a folder came or went, or one of Dovecot's files changed
		if !strings.HasPrefix(filepath.Base(e.Name), ".") {
			return
		}
	case dir == filepath.Join(b.maildir, "cur"):
		after = settleInbox
		if base, _ := baseOf(filepath.Base(e.Name)); e.Has(fsnotify.Create) && base != "" && len(b.fresh) < maxFresh {
			if b.fresh == nil {
				b.fresh = map[uint64]struct{}{}
			}
			b.fresh[nameOf(base)] = struct{}{}
		}
	}
	if due := now.Add(after); b.due.IsZero() || due.Before(b.due) {
		b.due = due
	}
}

func (w *Watcher) allDue(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.boxes {
		b.due = now
	}
}

// find looks for mailboxes that are new or gone.
func (w *Watcher) find(ctx context.Context, events *fsnotify.Watcher) {
	there := map[string]bool{}
	domains, err := os.ReadDir(w.cfg.MailRoot)
	if err != nil {
		w.log.LogAttrs(ctx, slog.LevelWarn, "mail root not read", slog.Any("err", err))
		return
	}
	for _, d := range domains {
		if !d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			continue
		}
		users, err := os.ReadDir(filepath.Join(w.cfg.MailRoot, d.Name()))
		if err != nil {
			w.log.LogAttrs(ctx, slog.LevelWarn, "mail domain not read", slog.Any("err", err))
			continue
		}
		for _, u := range users {
			if u.IsDir() && !strings.HasPrefix(u.Name(), ".") && ctx.Err() == nil && len(there) < maxMailboxes {
				w.meet(filepath.Join(w.cfg.MailRoot, d.Name(), u.Name(), "Maildir"), u.Name(), d.Name(), there)
			}
		}
	}
	w.forget(there, events)
	w.report()
}

// meet takes a mailbox in.
func (w *Watcher) meet(maildir, local, domain string, there map[string]bool) {
	var st unix.Stat_t
	if unix.Lstat(maildir, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return
	}
	user := strings.ToLower(mailaddr.Address{LocalPart: local, Domain: domain}.String())
	there[user] = true
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.boxes[user] == nil {
		w.boxes[user] = &box{user: user, maildir: maildir, due: time.Now()}
	}
}

// forget lets go of mailboxes that are no more.
func (w *Watcher) forget(there map[string]bool, events *fsnotify.Watcher) {
	w.mu.Lock()
	var gone []string
	for user, b := range w.boxes {
		if there[user] {
			continue
		}
		delete(w.boxes, user)
		for dir, of := range w.dirs {
			if of == b {
				gone = append(gone, dir)
				delete(w.dirs, dir)
			}
		}
	}
	w.mu.Unlock()
	for _, dir := range gone {
		if events != nil {
			_ = events.Remove(dir) // the kernel has done it already, as a rule
		}
	}
}

// report tells how many mailboxes there are.
func (w *Watcher) report() {
	w.mu.Lock()
	s := learn.WatchStatus{Mailboxes: len(w.boxes)}
	for _, b := range w.boxes {
		if b.watched {
			s.Watched++
		}
	}
	if w.full {
		s.Problem = fmt.Sprintf("the kernel takes no more watches: raise fs.inotify.max_user_watches above %d", 5*len(w.boxes))
	}
	w.mu.Unlock()
	w.deps.Learner.ReportWatch(s)
}

// work looks at the mailboxes that are due, and rests in between.
func (w *Watcher) work(ctx context.Context, events *fsnotify.Watcher) {
	for ctx.Err() == nil {
		b := w.next(time.Now())
		if b == nil {
			return
		}
		began := time.Now()
		w.attend(ctx, b)
		w.watch(ctx, b, events)
		rest := time.NewTimer(idle * time.Since(began))
		select {
		case <-ctx.Done():
			rest.Stop()
			return
		case <-rest.C:
		}
	}
}

// attend looks at one mailbox. A panic costs one look.
func (w *Watcher) attend(ctx context.Context, b *box) {
	defer func() {
		if v := recover(); v != nil {
			w.log.LogAttrs(ctx, slog.LevelError, "looking at a mailbox panicked", slog.String("user", b.user),
				slog.Any("err", v), slog.String("stack", string(debug.Stack())))
		}
	}()
	if err := w.look(ctx, b, time.Now()); err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.LogAttrs(ctx, slog.LevelWarn, "mailbox not looked at", slog.String("user", b.user), slog.Any("err", err))
	}
}

// next returns a mailbox that is due, nil for none, and says when it is due
// again without an event.
func (w *Watcher) next(now time.Time) *box {
	w.mu.Lock()
	defer w.mu.Unlock()
	var first *box
	for _, b := range w.boxes {
		if !b.due.After(now) && (first == nil || b.due.Before(first.due)) {
			first = b
		}
	}
	if first != nil {
		first.due = now.Add(scanEvery)
		if first.watched {
			first.due = now.Add(fullEvery)
		}
	}
	return first
}

// watch asks the kernel to tell of b, as far as it does not yet.
func (w *Watcher) watch(ctx context.Context, b *box, events *fsnotify.Watcher) {
	if events == nil {
		return
	}
	want := []string{b.maildir, filepath.Join(b.maildir, "cur")}
	dirs, err := folderDirs(b.maildir)
	if err != nil {
		return
	}
	for _, d := range dirs {
		if w.folders.classOf(d) == junk {
			want = append(want, filepath.Join(folderPath(b.maildir, d), "cur"), filepath.Join(folderPath(b.maildir, d), "new"))
		}
	}
	ok := true
	for _, d := range want {
		w.mu.Lock()
		have := w.dirs[d] == b
		w.mu.Unlock()
		if have {
			continue
		}
		err := events.Add(d)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			ok = false
			w.noWatch(ctx, err)
			break
		}
		w.mu.Lock()
		w.dirs[d] = b
		w.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b.watched = ok
	if next := time.Now().Add(scanEvery); !ok && next.Before(b.due) {
		b.due = next
	}
}

// noWatch says once that the kernel takes no more.
func (w *Watcher) noWatch(ctx context.Context, err error) {
	w.mu.Lock()
	w.full = errors.Is(err, unix.ENOSPC)
	w.mu.Unlock()
	if w.told {
		return
	}
	w.told = true
	w.log.LogAttrs(ctx, slog.LevelWarn, "mailboxes beyond the kernel's watches are looked at every 15 minutes", slog.Any("err", err),
		slog.String("remedy", "raise fs.inotify.max_user_watches to five for each mailbox"))
}
