package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/learn"
)

// TestOpenMail reads all that "learn" takes.
func TestOpenMail(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	box := "From a Fri Nov 20 11:30:00 2026\nA: 1\n\n>From me\n\nFrom a Fri Nov 20 11:30:00 2026\nA: 2\n"
	single := write("one.eml", "A: 1\n\nFrom here\n")
	mbox := write("box", box)
	for _, n := range []string{"cur/1.a:2,S", "new/2.a", "tmp/3.a", "cur/.hidden"} {
		write("Maildir/"+n, "A: "+n+"\n")
	}
	write("plain/a.eml", "A: a\n")
	write("plain/b.mbox", box)
	write("plain/sub/c.eml", "A: c\n")
	write("empty/none.eml", "")
	for _, tc := range []struct {
		name, stdin string
		args, want  []string
	}{
		{"message", "", []string{single}, []string{"A: 1\n\nFrom here\n"}},
		{"mbox", "", []string{mbox}, []string{"A: 1\n\nFrom me\n", "A: 2\n"}},
		{"stdin", "A: 9\n", []string{"-"}, []string{"A: 9\n"}},
		{"mbox on stdin", box, []string{"-"}, []string{"A: 1\n\nFrom me\n", "A: 2\n"}},
		{"Maildir", "", []string{filepath.Join(dir, "Maildir")}, []string{"A: cur/1.a:2,S\n", "A: new/2.a\n"}},
		{"directory", "", []string{filepath.Join(dir, "plain")}, []string{"A: a\n", "A: 1\n\nFrom me\n", "A: 2\n"}},
		{"two", "", []string{single, mbox}, []string{"A: 1\n\nFrom here\n", "A: 1\n\nFrom me\n", "A: 2\n"}},
		{"empty file", "", []string{filepath.Join(dir, "empty")}, []string{"error"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, err := openMail(strings.NewReader(tc.stdin), tc.args)
			if err != nil {
				t.Fatal(err)
			}
			defer src.close()
			var got []string
			if err := src.each(1<<20, func(_ string, msg []byte, err error) error {
				if err != nil {
					msg = []byte("error")
				}
				got = append(got, string(msg))
				return nil
			}); err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%q = %q, %v, want %q", tc.args, got, err, tc.want)
			}
		})
	}
	if _, err := openMail(nil, []string{single, filepath.Join(dir, "nosuch")}); !os.IsNotExist(err) {
		t.Errorf("a file that is not there = %v", err)
	}
}

func TestPrintLearnStatus(t *testing.T) {
	var b bytes.Buffer
	printLearnStatus(&b, learn.Status{Ham: 31, Spam: 12, Weight: 0.4, BySource: map[learn.Source]int{learn.CLI: 40, learn.Move: 3},
		Waiting: []learn.Pending{{User: "alice@example.org", Class: "spam", Count: 300}}, Watch: learn.WatchStatus{Mailboxes: 2, Watched: 1, Problem: "no more watches"}})
	for _, want := range []string{"31 ham, 12 spam; carries 40 % of its full weight\n", "40 by administrators, 3 by moves", "mailboxes: 2, 1 of them watched",
		"problem: no more watches", "alice@example.org moved 300 messages at once", "gatepost learn approve alice@example.org"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestTeacherResult(t *testing.T) {
	var out bytes.Buffer
	te := teacher{err: io.Discard}
	te.count(learn.Result{Outcomes: []learn.Outcome{{What: learn.New}, {What: learn.New}, {What: learn.Already}, {What: learn.Corrected}}})
	if err := te.result(&out, false); err != nil || out.String() != "2 new, 1 already learned, 1 corrected, 0 refused\n" {
		t.Errorf("result = %q, %v", out.String(), err)
	}
	if err := te.take(t.Context(), "x", nil, fmt.Errorf("broken")); err != nil {
		t.Fatal(err)
	}
	if err := te.result(io.Discard, true); err == nil {
		t.Error("a file that was not read ends with exit code 0")
	}
}
