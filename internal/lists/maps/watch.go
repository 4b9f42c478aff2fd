package maps

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Times of a watch.
const (
	// settle is how long a directory has to be quiet before its files are read:
	// programs write in several steps. A busy one is read after maxSettle.
	settle    = 300 * time.Millisecond
	maxSettle = 5 * time.Second
	// poll is for what fsnotify does not see: another host's file system, a
	// directory that comes later.
	poll = time.Minute
)

func stampOf(path string) (stamp, error) {
	st, err := os.Stat(path) // behind links: a link that is turned is another file
	if err != nil {
		return stamp{}, err
	}
	s := stamp{size: st.Size(), mtime: st.ModTime()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s, nil
}

// Run reads files again when they change, until ctx ends. Directories are
// watched and not files: editors put another file in the place of the old one.
func (ms *Maps) Run(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		ms.log.LogAttrs(ctx, slog.LevelWarn, "files of maps are looked at every minute only", slog.Any("err", err))
		ms.loop(ctx, nil, nil, nil)
		return
	}
	defer w.Close()
	ms.loop(ctx, w, w.Events, w.Errors)
}

func (ms *Maps) loop(ctx context.Context, w *fsnotify.Watcher, events <-chan fsnotify.Event, errs <-chan error) {
	ms.watch(ctx, w)
	ms.look() // what changed before the watch began
	tick := time.NewTicker(poll)
	defer tick.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	var first time.Time // event that no reload has answered yet
	for {
		select {
		case <-ctx.Done():
			return
		case <-ms.kick:
			ms.watch(ctx, w)
		case <-tick.C:
			ms.watch(ctx, w) // a directory may be new
			ms.look()
		case <-quiet.C:
			first = time.Time{}
			ms.look()
		case _, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			quiet.Reset(min(settle, max(0, first.Add(maxSettle).Sub(now))))
		case err, ok := <-errs: // an overflow, say: what happened is not known
			if !ok {
				errs = nil
				continue
			}
			ms.log.LogAttrs(ctx, slog.LevelDebug, "watch of map files", slog.Any("err", err))
			quiet.Reset(settle)
		}
	}
}

// look reads the files that have changed; what is wrong with them is logged.
func (ms *Maps) look() { _ = ms.reload(false) }

// watch adds the directories of all files. One that cannot be watched is left
// to the look every minute.
func (ms *Maps) watch(ctx context.Context, w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	for _, l := range *ms.all.Load() {
		if err := w.Add(filepath.Dir(l.File)); err != nil {
			ms.log.LogAttrs(ctx, slog.LevelDebug, "directory of a map cannot be watched", slog.String("rule", l.Name), slog.Any("err", err))
		}
	}
}
