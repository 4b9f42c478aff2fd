package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/lists"
	"github.com/gatepost/gatepost/internal/lists/maps"
)

// listSettings takes what newLists needs out of the configuration.
type listSettings func(Config) (lists.Config, maps.Config)

func newLists(a *app, settings listSettings) *cobra.Command {
	cmd := &cobra.Command{Use: "lists", Short: "DNS lists and maps: who is asked, on whose terms, and what they say",
		Long: `DNS lists and maps: who is asked, on whose terms, and what they say.

A list is on when its test entry is listed and another one is not; it is off when
it does not serve us. When Gatepost does not run, the lists are tested now.
"gatepost lists presets" shows those that a file can name.`,
		Example: "  gatepost lists\n  gatepost lists check 192.0.2.7", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := a.lists(cmd.Context(), settings)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		return printLists(cmd, all)
	}
	cmd.AddCommand(newListsCheck(a, settings), newListsPresets())
	return cmd
}

// lists returns what the Gatepost that runs knows, or, without one, what the
// lists answer to a test now.
func (a *app) lists(ctx context.Context, settings listSettings) (admin.Lists, error) {
	cfg, err := a.load()
	if err != nil {
		return admin.Lists{}, err
	}
	c, err := running(ctx, cfg)
	if err == nil {
		return c.Lists(ctx)
	}
	if !errors.Is(err, admin.ErrAway) {
		return admin.Lists{}, err
	}
	l, err := a.ownLists(settings)
	if err != nil {
		return admin.Lists{}, err
	}
	l.Test(ctx)
	_, mapsConfig := settings(cfg)
	m, err := maps.New(mapsConfig, nil, quietLog())
	if err != nil {
		return admin.Lists{}, err
	}
	return admin.Lists{Lists: l.Status(), Maps: m.Status()}, nil
}

// ownLists are the lists of the configuration, for one command.
func (a *app) ownLists(settings listSettings) (*lists.Lists, error) {
	cfg, res, err := a.asker()
	if err != nil {
		return nil, err
	}
	listConfig, _ := settings(cfg)
	return lists.New(listConfig, res, nil, quietLog())
}

func printLists(cmd *cobra.Command, all admin.Lists) error {
	w := cmd.OutOrStdout()
	if len(all.Lists) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no list is asked; dns_lists.lists names those that are")
	} else if err := printListTable(w, all.Lists); err != nil {
		return err
	}
	if len(all.Maps) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, m := range all.Maps {
		rows = append(rows, []string{m.Name, string(m.Kind), strconv.Itoa(m.Entries), strconv.FormatUint(m.Hits, 10), m.File, m.Fault})
	}
	return printTable(w, []string{"MAP", "KIND", "ENTRIES", "HITS", "FILE", "FAULT"}, rows)
}

func printListTable(w io.Writer, all []lists.Status) error {
	var rows [][]string
	for _, l := range all {
		state := string(l.State)
		if l.Why != "" {
			state += ", " + l.Why
		}
		if !l.Next.IsZero() && l.State != lists.On {
			state += "; next test " + l.Next.UTC().Format(time.DateTime) + " UTC"
		}
		rows = append(rows, []string{l.Name, strconv.FormatUint(l.Asked, 10), strconv.FormatUint(l.Listed, 10),
			strconv.FormatUint(l.Unanswered, 10), string(l.Mode), state})
	}
	if err := printTable(w, []string{"LIST", "ASKED", "LISTED", "SILENT", "MODE", "STATE"}, rows); err != nil {
		return err
	}
	p := page{w: w}
	for _, l := range all {
		if l.Terms != "" {
			p.line(0, "%s: by %s, free for %s: %s", l.Name, l.By, l.Free, l.Terms)
		}
	}
	return p.err
}

func newListsCheck(a *app, settings listSettings) *cobra.Command {
	cmd := &cobra.Command{Use: "check ADDRESS|DOMAIN|EMAIL", Short: "Ask all lists about an address, a domain or an e-mail address",
		Long: `Ask all lists about an address, a domain or an e-mail address.

It is asked about in every role that it can have in a message. Lists that are
off are asked, too. The exit status is 0 when a list has it.`,
		Example: "  gatepost lists check 192.0.2.7\n  gatepost lists check shop.example --json\n  gatepost lists check bob@shop.example",
		Args:    cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all, err := a.checkLists(cmd.Context(), settings, args[0])
		if err != nil {
			return err
		}
		listed := false
		for _, c := range all {
			listed = listed || c.Listed
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), list(all))
		} else {
			p := page{w: cmd.OutOrStdout()}
			for _, c := range all {
				p.checked(c)
			}
			err = p.err
		}
		if err == nil && !listed {
			return &saidNo{}
		}
		return err
	}
	return cmd
}

func (a *app) checkLists(ctx context.Context, settings listSettings, what string) ([]lists.Checked, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	c, err := running(ctx, cfg)
	switch {
	case err == nil:
		return noLists(c.CheckLists(ctx, what))
	case !errors.Is(err, admin.ErrAway):
		return nil, err
	}
	l, err := a.ownLists(settings)
	if err != nil {
		return nil, err
	}
	return noLists(l.Check(ctx, what))
}

func noLists(all []lists.Checked, err error) ([]lists.Checked, error) {
	if errors.Is(err, lists.ErrNotAsked) {
		err = hint(err, "gatepost lists shows who is asked about what, gatepost lists presets who could be")
	}
	return all, err
}

// checked prints what one list says.
func (p *page) checked(c lists.Checked) {
	switch {
	case c.Problem != "":
		p.line(0, "%s: no answer that counts to %s: %s", c.List, c.Question, c.Problem)
	case !c.Listed:
		p.line(0, "%s: not listed (%s)", c.List, c.Question)
	default:
		p.line(0, "%s: listed, %s (%s)", c.List, strings.Join(c.Answers, " "), c.Question)
	}
	for _, l := range c.Lines {
		p.line(1, "%s %s: %s", points(l.Score), l.Name, l.Text)
	}
}

func newListsPresets() *cobra.Command {
	cmd := &cobra.Command{Use: "presets", Short: "Show the lists that a file can name, and who may ask them",
		Example: "  gatepost lists presets", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all := lists.Presets()
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		p := page{w: cmd.OutOrStdout()}
		for _, t := range all {
			needs := ""
			if t.Key {
				needs = "; needs key_file"
			}
			of := make([]string, len(t.Of))
			for i, o := range t.Of {
				of[i] = string(o)
			}
			p.line(0, "%s: asked about %s%s", t.Preset, strings.Join(of, ", "), needs)
			p.line(1, "free for %s", t.Free)
			p.line(1, "%s", t.URL)
		}
		return p.err
	}
	return cmd
}
