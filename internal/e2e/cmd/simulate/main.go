//go:build linux

// Command simulate measures what a message, a login and a learn ask of each
// store, in a network of its own with real Postfix, MariaDB and Redis, and works
// out from that what an installation of many hosts needs and which part of it
// gives way first: see `make simulate` and docs/scale.md.
//
// What is measured is of this machine, what is worked out is arithmetic over it
// and over the flags: each assumption is one.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

func main() {
	var p plan
	p.flags(flag.CommandLine)
	each := flag.Int("each", 200, "how many messages and logins of each kind are measured, at most 500")
	markdown := flag.Bool("markdown", false, "print what docs/scale.md keeps")
	update := flag.String("update", "", "write it into this page, between its two marks")
	flag.Parse()
	if err := errors.Join(p.validate(), arguments(*each)); err != nil {
		for fault := range strings.Lines(err.Error() + "\n") {
			fmt.Fprint(os.Stderr, "simulate: error: ", fault)
		}
		os.Exit(2)
	}
	if err := enter(); err != nil {
		fmt.Fprintln(os.Stderr, "simulate: error:", err)
		os.Exit(1)
	}
	began := time.Now()
	m, err := measure(*each)
	if err == nil {
		err = report(m, p, *markdown, *update)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulate: error:", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "simulate: measured in %.0f s\n", time.Since(began).Seconds())
}

func arguments(each int) error {
	switch {
	case each < 20 || each > maxUsers:
		return fmt.Errorf("-each: %d is not between 20 and %d", each, maxUsers)
	case flag.NArg() > 0:
		return errors.New("there are no arguments, only options")
	}
	return nil
}

// enter goes into the lab's network, if all is there that is needed.
func enter() error {
	if err := lab.Check(); err != nil {
		return err
	}
	for _, p := range needed {
		if _, err := find(p.name); err != nil {
			return &lab.Missing{What: p.name + " is missing", Hint: "apt-get install " + p.pkg}
		}
	}
	return lab.Enter()
}

// report prints what was measured and what follows from it.
func report(m *measured, p plan, markdown bool, update string) error {
	tables := tablesOf(m, p)
	if update != "" {
		return updatePage(update, tables)
	}
	if markdown {
		_, err := os.Stdout.WriteString(markdownOf(tables))
		return err
	}
	_, err := os.Stdout.WriteString(textOf(tables))
	return err
}
