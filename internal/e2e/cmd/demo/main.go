//go:build linux

// Command demo shows Gatepost at work with real Postfix and Dovecot, in a
// network of its own: see `make demo`. It exits with 0 only if every step
// showed what it had to.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
	"github.com/gatepost/gatepost/internal/e2e/tour"
)

func main() {
	keep := flag.Bool("keep", false, "stay up after the last step")
	optional := flag.Bool("optional", false, "skip by name, with success, what the machine lacks, unless CI=true")
	steps := flag.String("steps", "", "run only these steps, such as 1,3; empty means all")
	split := flag.Bool("split", false, "run the daemons as five processes of five users")
	helps := flag.Bool(lab.Split[1:], false, "what -split starts inside")
	flag.Parse()
	if *helps {
		if err := supervise(flag.Arg(0), flag.Arg(1)); err != nil {
			fmt.Fprintln(os.Stderr, "demo: error:", err)
			os.Exit(1)
		}
		return
	}
	if *split {
		if err := splitShape(); err != nil {
			fmt.Fprintln(os.Stderr, "demo: error:", err)
			os.Exit(1)
		}
	}
	if err := lab.Enter(); err != nil {
		var missing *lab.Missing
		if *optional && errors.As(err, &missing) && os.Getenv("CI") != "true" {
			fmt.Println("skip: demo:", err)
			return
		}
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
	if err := run(*steps, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo: error:", err)
		os.Exit(1)
	}
}

// splitShape has the lab start gatepost as five processes, by this program.
func splitShape() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return os.Setenv(lab.EnvSplit, self)
}

func run(steps string, keep bool) (err error) {
	began := time.Now()
	fmt.Println("Gatepost beside Postfix and Dovecot, in a network of its own.")
	if os.Getenv(lab.EnvSplit) != "" {
		fmt.Println("Its daemons are five processes of five users, of which one has files.")
	}
	l, err := lab.Start(lab.Options{Config: tour.Config})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			fmt.Fprint(os.Stderr, l.Tails(15))
		}
		if keep {
			err = errors.Join(err, stay(l, err))
		}
		err = errors.Join(err, l.Stop())
	}()
	t, err := tour.New(l, os.Stdout)
	if err != nil {
		return err
	}
	wanted := strings.FieldsFunc(steps, func(r rune) bool { return r == ',' })
	for i, s := range tour.Steps() {
		if len(wanted) > 0 && !slices.Contains(wanted, fmt.Sprint(i+1)) {
			continue
		}
		if err := t.Run(i+1, s); err != nil {
			return err
		}
	}
	if os.Getenv(lab.EnvSplit) != "" && (len(wanted) == 0 || slices.Contains(wanted, "7")) {
		if err := banEverywhere(l); err != nil {
			return fmt.Errorf("step 7: %w", err)
		}
	}
	fmt.Printf("\nAll of it worked, in %.1f s.\n", time.Since(began).Seconds())
	return nil
}

// stay keeps the lab up until Ctrl-C, after whatever went wrong before.
func stay(l *lab.Lab, before error) error {
	if before != nil {
		fmt.Fprintln(os.Stderr, "demo: error:", before)
	}
	ctrlC := make(chan os.Signal, 1)
	signal.Notify(ctrlC, os.Interrupt, syscall.SIGTERM)
	enter, err := l.NSEnter()
	if err != nil {
		return err
	}
	fmt.Printf("\nThe lab stays up until Ctrl-C. Look around with\n\n  %s\n  %s/gatepost --config %s help\n\n",
		enter, l.Dir, l.ConfigPath())
	<-ctrlC
	return nil
}
