// Command torture runs package torture: see `make torture`. A run that was ended
// goes on where it was, with -dir.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/gatepost/gatepost/internal/torture"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "torture: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	n := flag.Int("n", 1000, "how often gatepost is killed")
	seed := flag.Uint64("seed", rand.Uint64(), "what every choice follows from")
	dir := flag.String("dir", "", "take up the run in this directory, or begin one there")
	binary := flag.String("gatepost", "", "the program; built from the source if it is not given")
	goTool := flag.String("go", "go", "the Go tool")
	flag.Parse()
	work, keep := *dir, *dir != ""
	if !keep {
		var err error
		if work, err = os.MkdirTemp("", "gatepost-torture-"); err != nil {
			return err
		}
	}
	if err := errors.Join(os.MkdirAll(work, 0o755), os.Chmod(work, 0o755)); err != nil {
		return err
	}
	work, err := filepath.Abs(work)
	if err != nil {
		return err
	}
	if *binary == "" {
		*binary = filepath.Join(work, "gatepost")
		build := exec.CommandContext(ctx, *goTool, "build", "-o", *binary, "./cmd/gatepost")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build gatepost: %w", err)
		}
	}
	r, err := torture.Run(ctx, torture.Config{Binary: *binary, Dir: work, Seed: *seed, Kills: *n, Senders: 8, Say: say})
	if err != nil {
		return fmt.Errorf("%w; go on with -dir %s", err, work)
	}
	say("%d kills, %d messages, %d copies, each there once and whole: %t; left in tmp: %d", r.Kills, r.Messages, r.Copies, len(r.Faults) == 0, r.Left)
	for _, f := range r.Faults {
		say("%s", f)
	}
	if len(r.Faults) > 0 {
		return fmt.Errorf("seed %d, see %s", r.Seed, work)
	}
	if keep {
		return nil
	}
	return os.RemoveAll(work)
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
