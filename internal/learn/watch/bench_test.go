package watch

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/gatepost/gatepost/internal/learn"
)

// BenchmarkMailboxes tells what a watched mailbox with 300 messages takes of
// our memory, and what a look at one costs in which nothing moved.
func BenchmarkMailboxes(b *testing.B) {
	const mailboxes, messages = 200, 300
	root := b.TempDir()
	now := time.Now()
	for n := range mailboxes {
		box := filepath.Join(root, "example.org", fmt.Sprint("user", n), "Maildir")
		for _, d := range []string{"cur", "new", ".Junk/cur", ".Junk/new"} {
			if err := os.MkdirAll(filepath.Join(box, d), 0o700); err != nil {
				b.Fatal(err)
			}
		}
		for m := range messages {
			name := fmt.Sprintf("%d.M%dP1.host,S=10:2,S", now.Unix()-int64(m), m)
			if err := os.WriteFile(filepath.Join(box, "cur", name), nil, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	log := slog.New(slog.DiscardHandler)
	l, err := learn.Open(b.Context(), b.TempDir(), learn.Default(), nil, log)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	events, err := fsnotify.NewBufferedWatcher(1024)
	if err != nil {
		b.Fatal(err)
	}
	defer events.Close()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	w := New(Config{MailRoot: root, Junk: []string{"Junk"}, Trash: []string{"Trash"}}, Deps{Learner: l}, log)
	w.find(b.Context(), events)
	var one *box
	for _, box := range w.boxes {
		if err := w.look(b.Context(), box, now); err != nil {
			b.Fatal(err)
		}
		w.watch(b.Context(), box, events)
		if !box.watched {
			b.Fatal("no watches are left")
		}
		one = box
	}
	after := heap()
	b.ReportAllocs()
	for b.Loop() {
		if err := w.look(b.Context(), one, now); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(after-before)/mailboxes, "B/mailbox")
	runtime.KeepAlive(w)
}
