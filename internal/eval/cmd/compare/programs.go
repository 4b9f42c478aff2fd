package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // the script
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

//go:embed spamassassin.pl
var script string

// versions names the programs.
func versions(ctx context.Context) (string, error) {
	bogo, err := exec.CommandContext(ctx, "bogofilter", "-V").CombinedOutput()
	if err != nil {
		return "", err
	}
	sa, err := exec.CommandContext(ctx, "spamassassin", "-V").Output()
	if err != nil {
		return "", err
	}
	own := "of this tree"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				own = s.Value[:min(len(s.Value), 7)]
			}
		}
	}
	line := func(b []byte) string { l, _, _ := strings.Cut(string(b), "\n"); return l }
	return fmt.Sprintf("Gatepost %s, %s, %s", own, line(bogo), line(sa)), nil
}

// bogofilter scores with the defaults and one dictionary, a process for each
// score and each learn. A message before the dictionary is there scores 0.5.
func (c *corpus) bogofilter(ctx context.Context) (scores []float64, cpu time.Duration, err error) {
	dir := filepath.Join(c.dir, "bogofilter")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, 0, err
	}
	call := func(path string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "bogofilter", append([]string{"-C", "-d", dir, "-I", path}, args...)...)
		var talk bytes.Buffer
		cmd.Stderr = &talk
		out, err := cmd.Output()
		if cmd.ProcessState != nil {
			cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		}
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", path, err, talk.Bytes())
		}
		return string(out), err
	}
	for i, path := range c.paths {
		score := 0.5
		if i > 0 {
			out, err := call(path, "-e", "-T", "-T")
			if err != nil {
				return nil, 0, err
			}
			if score, err = strconv.ParseFloat(strings.TrimSpace(out), 64); err != nil {
				return nil, 0, err
			}
		}
		scores = append(scores, score)
		learn := "-n"
		if c.spam[i] {
			learn = "-s"
		}
		if _, err := call(path, learn); err != nil {
			return nil, 0, err
		}
	}
	return scores, cpu, nil
}

// spamassassin scores with Debian's settings and rules, without network and
// without learning by itself, in one process.
func (c *corpus) spamassassin(ctx context.Context) (total, bayes []float64, cpu time.Duration, err error) {
	dir := filepath.Join(c.dir, "spamassassin")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, 0, err
	}
	cmd := exec.CommandContext(ctx, "perl", "-e", script, dir)
	cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, 0, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, 0, err
	}
	defer func() { err = errors.Join(err, in.Close(), cmd.Wait()) }()
	answers := bufio.NewScanner(out)
	for i, path := range c.paths {
		label := "ham"
		if c.spam[i] {
			label = "spam"
		}
		if _, err := fmt.Fprintf(in, "%s %s\n", label, path); err != nil {
			return nil, nil, 0, err
		}
		if !answers.Scan() {
			return nil, nil, 0, fmt.Errorf("no answer for %s", path)
		}
		var t, b, seconds float64
		if _, err := fmt.Sscan(answers.Text(), &t, &b, &seconds); err != nil {
			return nil, nil, 0, fmt.Errorf("%q: %w", answers.Text(), err)
		}
		total, bayes = append(total, t), append(bayes, b)
		cpu = time.Duration(seconds * float64(time.Second))
	}
	return total, bayes, cpu, nil
}
