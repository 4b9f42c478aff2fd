package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/learn/mbox"
)

const (
	// moreThanScanned is what a delivered file has beyond what the milter saw.
	moreThanScanned = 256 << 10
	// batchItems and batchBytes bound one request.
	batchItems = 200
	batchBytes = 500 << 10
	// shownProblems bounds what is told of files that could not be read.
	shownProblems = 20
)

// source is one argument: an open file, or a directory.
type source struct {
	name string
	file io.Reader
	dir  bool
}

type sources []source

// openMail opens what the arguments name.
func openMail(stdin io.Reader, args []string) (all sources, err error) {
	for _, path := range args {
		if path == "-" {
			all = append(all, source{name: "stdin", file: stdin})
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			all.close()
			return nil, err
		}
		st, err := f.Stat()
		if err != nil {
			all.close()
			return nil, errors.Join(err, f.Close())
		}
		all = append(all, source{name: path, file: f, dir: st.IsDir()})
	}
	return all, nil
}

func (s sources) close() {
	for _, one := range s {
		if f, ok := one.file.(*os.File); ok && one.name != "stdin" {
			_ = f.Close() // it was only read
		}
	}
}

// take is told of each message, or of why there is none.
type take func(name string, msg []byte, err error) error

// each calls f for each message of at most that many bytes.
func (s sources) each(most int, f take) error {
	for _, one := range s {
		var err error
		if one.dir {
			err = eachFile(one.name, most, f)
		} else {
			err = eachMessage(one.name, one.file, most, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachFile reads the files of a directory: of a Maildir those of cur and new.
func eachFile(dir string, most int, f take) error {
	dirs := []string{dir}
	if st, err := os.Stat(filepath.Join(dir, "cur")); err == nil && st.IsDir() {
		dirs = []string{filepath.Join(dir, "cur"), filepath.Join(dir, "new")}
	}
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if err != nil {
			if err := f(d, nil, err); err != nil {
				return err
			}
			continue
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if err := oneFile(filepath.Join(d, e.Name()), most, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func oneFile(path string, most int, f take) error {
	r, err := os.Open(path)
	if err != nil {
		return f(path, nil, err)
	}
	defer r.Close()
	return eachMessage(path, r, most, f)
}

// eachMessage reads one message, or those of an mbox.
func eachMessage(name string, r io.Reader, most int, f take) error {
	b := bufio.NewReader(r)
	head, _ := b.Peek(200) // an error comes again with the next read
	if !mbox.Is(head) {
		msg, err := io.ReadAll(io.LimitReader(b, int64(most)))
		if err == nil && len(msg) == 0 {
			err = errors.New("it is empty")
		}
		return f(name, msg, err)
	}
	box := mbox.New(b, most)
	for n := 1; ; n++ {
		msg, err := box.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := f(fmt.Sprintf("%s, message %d", name, n), msg, err); err != nil || msg == nil {
			return err
		}
	}
}

// teacher sends messages to the learner, some at a time.
type teacher struct {
	client   *admin.Client
	cfg      learn.TraceConfig
	spam     bool
	err      io.Writer
	terminal bool
	began    time.Time
	shown    time.Time

	features classify.Features
	items    []learn.Item
	bytes    int
	read     int
	done     learned
}

// take adds one message.
func (t *teacher) take(ctx context.Context, name string, msg []byte, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.read++
	var it learn.Item
	if err == nil {
		it, err = learn.Extract(msg, t.cfg, &t.features)
	}
	if err != nil {
		t.done.Failed++
		warn(t.err, "%s is not learned: %v", name, err)
		if len(t.done.Problems) < shownProblems {
			t.done.Problems = append(t.done.Problems, name+": "+err.Error())
		}
		return nil
	}
	if len(t.items) >= batchItems || t.bytes+len(it.Features) > batchBytes {
		if err := t.send(ctx); err != nil {
			return err
		}
	}
	t.items, t.bytes = append(t.items, it), t.bytes+len(it.Features)+len(it.Trace.MessageID)+200
	t.progress(false)
	return nil
}

// send has learned what was taken.
func (t *teacher) send(ctx context.Context) error {
	if len(t.items) == 0 {
		return nil
	}
	r, err := t.client.Learn(ctx, learn.Wish{Spam: t.spam, Source: learn.CLI, Items: t.items})
	if err != nil {
		return err
	}
	t.count(r)
	t.items, t.bytes = t.items[:0], 0
	return nil
}

func (t *teacher) count(r learn.Result) {
	t.done.New += r.Count(learn.New)
	t.done.Already += r.Count(learn.Already)
	t.done.Corrected += r.Count(learn.Corrected)
	t.done.Refused += r.Count(learn.Refused)
	t.done.Queued += r.Count(learn.Queued)
}

// progress shows how far it is, on a terminal and when it takes long.
func (t *teacher) progress(end bool) {
	now := time.Now()
	if !t.terminal || now.Sub(t.began) < time.Second || !end && now.Sub(t.shown) < 200*time.Millisecond {
		return
	}
	t.shown = now
	fmt.Fprintf(t.err, "\r%d messages, %.0f a second", t.read, float64(t.read)/now.Sub(t.began).Seconds())
	if end {
		fmt.Fprintln(t.err)
	}
}
