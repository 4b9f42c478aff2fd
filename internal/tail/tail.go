package tail

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

const (
	// poll is how often a file is looked at, saveEvery how often a place is
	// written that no event moved.
	poll      = 500 * time.Millisecond
	saveEvery = 10 * time.Second
	// journalctl is started again after firstRest, and at most lastRest.
	firstRest  = time.Second
	lastRest   = time.Minute
	journalctl = "/usr/bin/journalctl"
)

// Logs reads all logs. It is safe for concurrent use.
type Logs struct {
	sources []*resolved
	places  *places
	tell    func(context.Context, Event)
	log     *slog.Logger

	lines, events, skipped atomic.Uint64
}

// Stats are figures for the metrics.
type Stats struct {
	// Lines were read, Events told, Skipped too long or too old.
	Lines, Events, Skipped uint64
}

// New returns Logs that tell each failed login. path is the file of places, in
// a directory that has to exist.
func New(cfg Config, path string, tell func(context.Context, Event), log *slog.Logger) (*Logs, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Logs{tell: tell, log: log}
	names := map[string]bool{}
	for _, s := range cfg {
		r, err := s.resolve()
		if err != nil {
			return nil, err
		}
		if r.Mode != unit.Off {
			names[r.Name] = true
			l.sources = append(l.sources, &r)
		}
	}
	if len(l.sources) == 0 {
		return l, nil
	}
	var err error
	if l.places, err = readPlaces(path); err != nil {
		log.LogAttrs(context.Background(), slog.LevelWarn, "logs are read from their end", slog.Any("err", err))
	}
	return l, l.places.keep(names)
}

// Stats returns the figures.
func (l *Logs) Stats() Stats {
	return Stats{Lines: l.lines.Load(), Events: l.events.Load(), Skipped: l.skipped.Load()}
}

// Run reads until ctx ends. No goroutine or process outlives it.
func (l *Logs) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range l.sources {
		if s.File != "" {
			wg.Go(func() { l.follow(ctx, s) })
		} else {
			wg.Go(func() { l.journal(ctx, s) })
		}
	}
	wg.Wait()
}

// told tells events after their place is safe: one that is told twice counts
// twice.
func (l *Logs) told(ctx context.Context, s *resolved, at place, all []Event, save bool) {
	if err := l.places.set(s.Name, at, save || len(all) > 0); err != nil {
		l.log.LogAttrs(ctx, slog.LevelWarn, "place of a log not kept", slog.String("rule", s.Name), slog.Any("err", err))
	}
	for _, e := range all {
		l.events.Add(1)
		if s.Mode == unit.Enforce {
			l.tell(ctx, e)
		}
		l.log.LogAttrs(ctx, slog.LevelDebug, "failed login read from a log", slog.String("rule", s.Name), slog.String("verdict", string(s.Mode)),
			slog.String("client_addr", e.Addr.String()))
	}
}

// follow reads one file.
func (l *Logs) follow(ctx context.Context, s *resolved) {
	f := &follower{path: s.File, at: l.places.of(s.Name)}
	defer f.close()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	saved, failing := time.Now(), ""
	for {
		var all []Event
		skipped := f.skipped
		moved, err := f.look(func(line string) {
			l.lines.Add(1)
			if e, ok := s.line(line); ok {
				all = append(all, e)
			}
		})
		l.skipped.Add(f.skipped - skipped)
		due := time.Since(saved) >= saveEvery
		if due {
			saved = time.Now()
		}
		if moved || due {
			l.told(ctx, s, f.at, all, due)
		}
		if now := text(err); now != failing { // once, not twice a second
			failing = now
			if err != nil {
				l.log.LogAttrs(ctx, slog.LevelWarn, "log cannot be read", slog.String("rule", s.Name), slog.Any("err", err))
			}
		}
		select {
		case <-ctx.Done():
			l.told(context.WithoutCancel(ctx), s, f.at, nil, true)
			return
		case <-tick.C:
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// journal reads units of the systemd journal, and starts journalctl again when
// it ends.
func (l *Logs) journal(ctx context.Context, s *resolved) {
	rest := firstRest
	for ctx.Err() == nil {
		start := time.Now()
		err := l.journalctl(ctx, s, journalctl)
		if ctx.Err() != nil {
			return
		}
		l.log.LogAttrs(ctx, slog.LevelWarn, "journal is not read for a while", slog.String("rule", s.Name), slog.Any("err", err))
		if time.Since(start) > lastRest {
			rest = firstRest
		}
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
		rest = min(2*rest, lastRest)
	}
}

// journalArgs are the words for journalctl.
func journalArgs(s *resolved, cursor string) []string {
	args := []string{"--follow", "--output=json", "--no-pager", "--quiet", "--output-fields=MESSAGE,SYSLOG_IDENTIFIER"}
	if cursor == "" {
		args = append(args, "--lines=0")
	} else {
		args = append(args, "--after-cursor="+cursor)
	}
	for _, u := range s.Journal {
		args = append(args, "--unit="+u)
	}
	return args
}

// journalctl runs the program until it or ctx ends.
func (l *Logs) journalctl(ctx context.Context, s *resolved, program string) error {
	cmd := exec.CommandContext(ctx, program, journalArgs(s, l.places.of(s.Name).Cursor)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("journalctl: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("journalctl: %w", err)
	}
	readErr := l.entries(ctx, s, out)
	if readErr != nil {
		_ = cmd.Process.Kill()
	}
	return errors.Join(readErr, cmd.Wait())
}

// entries reads what journalctl prints.
func (l *Logs) entries(ctx context.Context, s *resolved, r io.Reader) error {
	in := bufio.NewReaderSize(r, maxEntry)
	saved := time.Now()
	var at place
	defer func() {
		if at.Cursor != "" {
			l.told(context.WithoutCancel(ctx), s, at, nil, true)
		}
	}()
	for over := false; ; {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if !over {
				l.skipped.Add(1)
			}
			over = true
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("journalctl: %w", err)
		case over:
			over = false
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			l.skipped.Add(1)
			continue
		}
		l.lines.Add(1)
		at = place{Cursor: e.cursor}
		var all []Event
		if len(e.text) <= maxLine {
			if ev, ok := s.event(e.program, e.text); ok {
				all = append(all, ev)
			}
		}
		due := time.Since(saved) >= saveEvery
		if due {
			saved = time.Now()
		}
		l.told(ctx, s, at, all, due)
	}
}
