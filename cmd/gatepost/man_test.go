package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/scan"
)

// manual is what gatepost(1) documents of a command.
type manual struct {
	// syntax is the heading without its optional options.
	syntax string
	// options are those in the heading, described those with a text of their own.
	options, described []string
}

var (
	optionName = regexp.MustCompile(`--([a-z-]+)`)
	// anOption is an optional option in a heading, such as "[--for SPAN]".
	anOption = regexp.MustCompile(` \[--[^]]*\]`)
)

// readManual returns the commands of gatepost(1) by their names, and the
// options that it describes for all commands: those before the first one.
func readManual(t *testing.T) (all map[string]*manual, common []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/man/gatepost.1")
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]*manual{}
	var now *manual
	for line := range strings.Lines(string(page)) {
		text, ok := strings.CutPrefix(plain(line), ".B ")
		switch {
		case !ok:
		case strings.HasPrefix(text, "gatepost "):
			name := regexp.MustCompile(`^gatepost( [a-z][a-z0-9-]*)+`).FindString(text)
			now = &manual{syntax: anOption.ReplaceAllString(text, "")}
			for _, m := range optionName.FindAllStringSubmatch(text, -1) {
				// Of every command, and needed by some; it is described once.
				if m[1] != "config" {
					now.options = append(now.options, m[1])
				}
			}
			if all[name] != nil {
				t.Errorf("gatepost(1) documents %q twice", name)
			}
			all[name] = now
		case strings.HasPrefix(text, "--"):
			name := optionName.FindStringSubmatch(text)[1]
			if now == nil {
				common = append(common, name)
			} else {
				now.described = append(now.described, name)
			}
		}
	}
	return all, common
}

// plain takes roff's escapes out of a line.
func plain(line string) string {
	line = regexp.MustCompile(`\\f[A-Z]`).ReplaceAllString(line, "")
	return strings.TrimSpace(strings.ReplaceAll(line, `\-`, "-"))
}

// optionsIn returns the long options, other than --help, in a list such as
// --help prints.
func optionsIn(usages string) (out []string) {
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-[a-z], )?--([a-z-]+)`).FindAllStringSubmatch(usages, -1) {
		if m[1] != "help" {
			out = append(out, m[1])
		}
	}
	return out
}

// leaves returns the commands that do something, with what the manual has to
// say of them. Of those with subcommands they are the ones with options.
func leaves(cmd *cobra.Command) map[string]*manual {
	out := map[string]*manual{}
	if cmd.Hidden { // what systemd runs; gatepost(8) has it
		return out
	}
	if subs := cmd.Commands(); len(subs) > 0 && cmd.Name() != "completion" {
		for _, sub := range subs {
			maps.Copy(out, leaves(sub))
		}
		if !cmd.HasParent() || len(optionsIn(cmd.LocalNonPersistentFlags().FlagUsages())) == 0 {
			return out
		}
	}
	m := &manual{syntax: cmd.Parent().CommandPath() + " " + cmd.Use}
	m.options = optionsIn(cmd.LocalNonPersistentFlags().FlagUsages())
	name := cmd.CommandPath()
	if cmd.Name() == "completion" { // cobra's own: a command for each shell, all alike
		var shells []string
		for _, sub := range cmd.Commands() {
			shells = append(shells, sub.Name())
			m.options = append(m.options, optionsIn(sub.LocalNonPersistentFlags().FlagUsages())...)
		}
		slices.Sort(m.options)
		m.options = slices.Compact(m.options)
		name += " " + shells[0]
		m.syntax += " " + strings.Join(shells, "|")
	}
	out[name] = m
	return out
}

// TestManual compares the commands and options of the program with gatepost(1),
// in both directions.
func TestManual(t *testing.T) {
	root := newRoot()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	code := leaves(root)
	documented, common := readManual(t)
	for name := range documented {
		if code[name] == nil {
			t.Errorf("gatepost(1) documents %q, which is no command", name)
		}
	}
	for name, want := range code {
		got := documented[name]
		if got == nil {
			t.Errorf("gatepost(1) does not document %q", name)
			continue
		}
		if got.syntax != want.syntax {
			t.Errorf("gatepost(1) has %q, the program %q", got.syntax, want.syntax)
		}
		slices.Sort(got.options)
		slices.Sort(want.options)
		if !slices.Equal(got.options, want.options) {
			t.Errorf("%s: gatepost(1) has the options %q, the program %q", name, got.options, want.options)
		}
		for _, o := range want.options {
			if !slices.Contains(got.described, o) && !slices.Contains(common, o) {
				t.Errorf("%s: gatepost(1) does not describe --%s", name, o)
			}
		}
		for _, o := range got.described {
			if !slices.Contains(want.options, o) {
				t.Errorf("%s: gatepost(1) describes --%s, which is no option", name, o)
			}
		}
	}
	// --json is an option of many commands.
	want := append([]string{"help", "json"}, optionsIn(root.PersistentFlags().FlagUsages())...)
	slices.Sort(want)
	slices.Sort(common)
	if !slices.Equal(common, want) {
		t.Errorf("gatepost(1) describes %q for all commands, want %q", common, want)
	}
}

// TestCommandsInDocs: each command that a page tells to paste exists, with its
// options and as many arguments.
func TestCommandsInDocs(t *testing.T) {
	pages := []string{"../../README.md"}
	for _, pattern := range []string{"../../docs/*.md", "../../docs/howto/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	command := regexp.MustCompile("(?m)^(?:    )?gatepost( [^<>|;&#\n]*)")
	block := regexp.MustCompile("(?s)```sh\n(.*?)```")
	n := 0
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, sh := range block.FindAllStringSubmatch(string(b), -1) {
			for _, m := range command.FindAllStringSubmatch(sh[1], -1) {
				n++
				if err := understood(words(m[1])); err != nil {
					t.Errorf("%s: gatepost%s: %v", page, m[1], err)
				}
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d commands were found", n)
	}
}

// words splits a line as a shell does: what stands in quotes is one word.
func words(line string) (out []string) {
	for _, w := range regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`).FindAllString(line, -1) {
		out = append(out, strings.NewReplacer("'", "", `"`, "").Replace(w))
	}
	return out
}

// understood returns what is wrong with the arguments of a command.
func understood(args []string) error {
	root := newRoot()
	cmd, rest, err := root.Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil && cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		err = fmt.Errorf("%s has no command %q", cmd.CommandPath(), cmd.Flags().Args())
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	return err
}

// TestSettingsInDocs: each whole piece of configuration in a page is taken.
func TestSettingsInDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../docs/howto/*.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n([a-z_]+:.*?)```")
	n := 0
	for _, page := range append(pages, more...) {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(b), -1) {
			n++
			cfg := Default()
			if err := config.Decode(page, []byte(m[1]), &cfg); err != nil {
				t.Errorf("%v in\n%s", err, m[1])
			}
		}
	}
	if n < 12 {
		t.Errorf("only %d pieces were found", n)
	}
}

// TestRulesInDocs compares the rules of the filter with docs/rules.md, in both
// directions: name, points and sentence. "make rules-report" writes the page.
func TestRulesInDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	// | `NAME` | score | hits… | sentence |
	row := regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)` \\| ([^|]+) \\|.*\\| (.+) \\|$")
	documented := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		text, _, _ := strings.Cut(m[3], " *") // the report's own remark
		if documented[m[1]] != "" {
			t.Errorf("docs/rules.md has %s twice", m[1])
		}
		documented[m[1]] = m[2] + ". " + text
	}
	if len(documented) == 0 {
		t.Fatal("docs/rules.md lists no rule: make rules-report writes them")
	}
	for _, r := range scan.Rules() {
		want := strconv.FormatFloat(r.Score, 'f', -1, 64) + ". " + r.Text
		if got := documented[r.Name]; got != want {
			t.Errorf("docs/rules.md says of %s %q, want %q", r.Name, got, want)
		}
		delete(documented, r.Name)
	}
	for name := range documented {
		t.Errorf("docs/rules.md documents %s, which is no rule", name)
	}
}
