package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/examples"
	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/lists/maps"
)

func newConfig(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check the configuration, show it whole, print a sample",
		Example: "  gatepost config init > /etc/gatepost/gatepost.yaml\n  gatepost config check"}
	cmd.AddCommand(newConfigCheck(a), newConfigShow(a),
		&cobra.Command{Use: "init", Short: "Print a commented sample configuration, with every setting at its default",
			Example: "  gatepost config init > /etc/gatepost/gatepost.yaml", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write(examples.Config)
				return err
			}})
	return cmd
}

func newConfigShow(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Print the configuration in force: the file over the defaults",
		Example: "  gatepost config show", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		b, err := yaml.Marshal(cfg)
		if err == nil && *asJSON {
			b, err = yaml.YAMLToJSON(b)
		}
		if err != nil {
			return fmt.Errorf("print configuration: %w", err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", bytes.TrimRight(b, "\n"))
		return err
	}
	return cmd
}

func newConfigCheck(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "check", Short: "Say all that is wrong with the configuration and its directories",
		Long: `Say all that is wrong with the configuration and its directories.

Every fault of the file is named with line and column. Then the directories are
looked at: whether they are there, whose they are, and whether the signing keys
can be used. Warnings do not fail the check.`,
		Example: "  gatepost config check --config ./gatepost.yaml", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	live := cmd.Flags().Bool("live", false, "ask the running Gatepost, too, what its mail shows")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var found findings
		cfg := Default()
		if err := config.Load(a.configPath, &cfg); err != nil {
			for _, f := range config.Faults(err) {
				found.fault(f, "")
			}
		} else {
			found.look(cfg)
			if *live {
				found.live(cmd.Context(), cfg)
			}
		}
		if *asJSON {
			found.Faults, found.Warnings = list(found.Faults), list(found.Warnings)
			if err := printJSON(cmd.OutOrStdout(), found); err != nil {
				return err
			}
		} else {
			found.print(cmd)
		}
		if len(found.Faults) > 0 {
			return &saidNo{}
		}
		return nil
	}
	return cmd
}

// finding is one thing worth saying, with the command that mends it.
type finding struct {
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// findings is what a check found.
type findings struct {
	Faults   []finding `json:"faults"`
	Warnings []finding `json:"warnings"`
}

func (f *findings) fault(err error, hint string) {
	f.Faults = append(f.Faults, finding{err.Error(), hint})
}

func (f *findings) print(cmd *cobra.Command) {
	for _, w := range f.Warnings {
		printFinding(cmd, "warning", w)
	}
	for _, e := range f.Faults {
		printFinding(cmd, "error", e)
	}
	if len(f.Faults) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "the configuration is good")
	}
}

func printFinding(cmd *cobra.Command, kind string, f finding) {
	fmt.Fprintf(cmd.ErrOrStderr(), "gatepost: %s: %s\n", kind, printable(f.Text))
	if f.Hint != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "gatepost: hint: %s\n", printable(f.Hint))
	}
}

// look compares the configuration with the machine.
func (f *findings) look(cfg Config) {
	for _, w := range cfg.Policyd.Warnings() {
		f.Warnings = append(f.Warnings, finding{Text: "policyd." + w})
	}
	for _, t := range cfg.DNSLists.Terms() {
		f.Warnings = append(f.Warnings, finding{
			Text: fmt.Sprintf("dns_lists asks %s, run by %s: free for %s", t.Preset, t.By, t.Free), Hint: "terms: " + t.URL})
	}
	for _, err := range config.Faults(errors.Join(maps.Check(cfg.Maps), cfg.checkFiles())) {
		f.fault(err, "")
	}
	owner, split := f.split(cfg)
	if !split {
		owner = cfg.MailUID
		f.owner(cfg.DataDirectory, cfg.MailUID, cfg.MailGID)
	}
	if !split || os.Geteuid() == 0 { // the state process does not see mail
		f.owner(cfg.MailRoot, cfg.MailUID, cfg.MailGID)
		f.homes(cfg.MailRoot, cfg.MailUID, cfg.MailGID)
	}
	f.files(cfg.DataDirectory, owner, split)
	domains, signs := f.keys(cfg.dkimDirectory())
	for _, l := range cfg.LocalSenders {
		if !slices.Contains(domains, l) {
			f.Warnings = append(f.Warnings, finding{
				Text: fmt.Sprintf("local_senders names %s, which has no signing key", l),
				Hint: "gatepost dkim new " + l + " makes one"})
		}
	}
	if d := cfg.Milter.ARCSeal; d != "" && !signs(d) {
		f.Warnings = append(f.Warnings, finding{
			Text: fmt.Sprintf("milter.arc_seal names %s, which has no active signing key: nothing is sealed", d),
			Hint: "gatepost dkim list " + d + " shows its keys, gatepost dkim new " + d + " makes some"})
	}
}

// checkFiles looks into the files that settings name. A map with a bad file is
// not among them: it keeps what it had.
func (c *Config) checkFiles() error {
	return errors.Join(
		config.Under("policyd.greylist", c.Policyd.GreylistConfig().CheckFiles()),
		config.Under("policyd", c.Policyd.CheckFiles()),
		config.Under("notices", c.Notices.Check()),
		c.checkVerdictKeys(),
	)
}

func (c *Config) checkVerdictKeys() error {
	if _, err := c.verdictKeys(); err != nil {
		return config.Invalid("verdict_keys_file", "%s", err)
	}
	return nil
}

// owner checks that dir is there and belongs to the mail user.
func (f *findings) owner(dir string, uid, gid int) {
	st, err := os.Stat(dir)
	if err != nil {
		f.fault(err, fmt.Sprintf("install -d -o %d -g %d -m 0700 %s", uid, gid, dir))
		return
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if ok && int(sys.Uid) != uid {
		f.fault(fmt.Errorf("%s belongs to user id %d, but mail_uid is %d", dir, sys.Uid, uid),
			fmt.Sprintf("chown -R %d:%d %s, or set mail_uid", uid, gid, dir))
	}
}

// maxHomes bounds the homes that are looked at.
const maxHomes = 100_000

// homes looks for a home that is not the mail user's: one user owns all mail, and
// delivery to another one's home is put off for ever. One is enough to say so.
func (f *findings) homes(root string, uid, gid int) {
	domains, _ := os.ReadDir(root) // owner has said what is wrong with it
	left := maxHomes
	for _, d := range domains {
		homes, _ := os.ReadDir(filepath.Join(root, d.Name()))
		for _, h := range homes[:min(len(homes), left)] {
			path := filepath.Join(root, d.Name(), h.Name())
			st, err := os.Lstat(path)
			if err != nil || !st.IsDir() {
				continue
			}
			if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != uid {
				f.fault(fmt.Errorf("%s belongs to user id %d, but mail_uid is %d, which owns all mail", path, sys.Uid, uid),
					fmt.Sprintf("chown -R %d:%d %s", uid, gid, root))
				return
			}
		}
		if left -= len(homes); left <= 0 {
			return
		}
	}
}

// dataFiles are what Gatepost keeps below the data directory.
var dataFiles = []string{"lock", "*.db", "*.db-wal", "*.db-shm", "spool", "classifier.weights", "outgoing", "outgoing/*", "quarantine", "quarantine/*", "dkim", "dkim/*", "dkim/*/*.pem", "dkim/*/states.json", "dkim/*/states.json.copy"}

// files looks for a file that is not the mail user's: a restored backup, or
// sqlite3(1) as root, leaves such, and then nothing starts. One is enough: the
// same command mends all.
func (f *findings) files(dir string, uid int, split bool) {
	whose := "mail_uid is"
	if split {
		whose = "its directory is of"
	}
	for _, pattern := range dataFiles {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is good
		for _, path := range paths {
			st, err := os.Lstat(path)
			if err != nil {
				continue // it was there a moment ago: SQLite removes such
			}
			if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != uid {
				f.fault(fmt.Errorf("%s belongs to user id %d, but %s %d", path, sys.Uid, whose, uid),
					fmt.Sprintf("chown -R --reference=%s %s", dir, dir))
				return
			}
		}
	}
}

// keys opens the signing keys and returns their domains, and whether a domain
// has an active one. A check makes
// nothing: what root made, the mail user could not use.
func (f *findings) keys(dir string) (domains []string, signs func(string) bool) {
	signs = func(string) bool { return false }
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, signs
	}
	s, err := keys.Open(dir, quietLog())
	if err != nil {
		f.fault(err, "")
		return nil, signs
	}
	for _, k := range s.List() {
		domains = append(domains, k.Domain)
	}
	return domains, func(d string) bool { return len(s.Active(d)) > 0 }
}
