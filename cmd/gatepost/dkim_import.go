package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/dkimimport"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/publicsuffix"
	"github.com/gatepost/gatepost/internal/unit"
)

// importSource is a program whose keys can be taken over.
type importSource struct {
	name, use, short, long, example string
	read                            func(path string) (*dkimimport.Source, error)
}

var opendkimSource = importSource{
	name: "OpenDKIM", use: "opendkim FILE", short: "Take OpenDKIM's keys over, from opendkim.conf",
	long: `Take OpenDKIM's keys over, from opendkim.conf and the tables that it names
(KeyTable and SigningTable, plain, refile: or csl:, or Domain, Selector and
KeyFile; InternalHosts).`,
	example: "  gatepost dkim import opendkim /etc/opendkim.conf --dry-run",
	read:    func(path string) (*dkimimport.Source, error) { return dkimimport.ReadOpenDKIM(machineFiles{}, path) },
}

var rspamdSource = importSource{
	name: "rspamd", use: "rspamd FILE", short: "Take rspamd's signing keys over, from dkim_signing.conf",
	long: `Take rspamd's signing keys over, from local.d/dkim_signing.conf, the file of that
name in override.d beside it, and the maps that they name.`,
	example: "  gatepost dkim import rspamd /etc/rspamd/local.d/dkim_signing.conf --dry-run",
	read: func(path string) (*dkimimport.Source, error) {
		return dkimimport.ReadRspamd(machineFiles{}, path, publicsuffix.Organization)
	},
}

// importLong is what both imports say.
const importLong = `

The private keys are copied and sign from then on under their old names, so
nothing changes in the DNS. The report says what was carried over, which settings
to write into gatepost.yaml, and for everything else the line, why, and what to
do. Nothing of the other program is changed; stop it when Gatepost signs.`

func newImport(a *app, src importSource) *cobra.Command {
	cmd := &cobra.Command{Use: src.use, Short: src.short, Long: src.long + importLong, Example: src.example, Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	dry := cmd.Flags().Bool("dry-run", false, "only say what would be done")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		// Before the client, which may give up root: keys are root's to read.
		from, err := src.read(path)
		if err != nil {
			return err
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		r, err := runImport(cmd, c, from, *dry)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), r)
		} else {
			err = r.print(cmd.OutOrStdout(), src.name)
		}
		if err == nil && r.failed {
			return &saidNo{}
		}
		return err
	}
	return cmd
}

// imported is a report.
type imported struct {
	DryRun bool `json:"dry_run"`
	// Carried are the keys that were taken over, or would be.
	Carried []carriedKey `json:"carried"`
	// Left is what was not, or not as it was.
	Left []dkimimport.Note `json:"not_carried"`
	// Settings are lines for gatepost.yaml, "" for none.
	Settings string `json:"settings"`
	failed   bool
}

type carriedKey struct {
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	Bits      int    `json:"bits"`
	From      string `json:"from"`
	Path      string `json:"path,omitempty"`
	// There says that Gatepost had the key before.
	There bool `json:"was_there"`
}

// runImport takes the keys of a source over.
func runImport(cmd *cobra.Command, c *admin.Client, from *dkimimport.Source, dry bool) (imported, error) {
	ctx := cmd.Context()
	domains, err := c.Accounts().Domains(ctx)
	if err != nil {
		return imported{}, err
	}
	var ours []string
	for _, d := range domains {
		ours = append(ours, d.Name)
	}
	before, err := c.Keys(ctx, "")
	if err != nil {
		return imported{}, err
	}
	plan := from.Plan(ours)
	r := imported{DryRun: dry, Carried: []carriedKey{}, Left: append([]dkimimport.Note{}, plan.Notes...)}
	for _, k := range plan.Keys {
		got, there, err := carryOver(before, k)
		if err == nil && !dry && !there {
			_, err = c.ImportKey(ctx, k.Domain, k.Selector, k.Text)
		}
		if err != nil {
			r.failed = true
			r.leave(k, err)
			continue
		}
		r.Carried = append(r.Carried, carriedKey{Domain: got.Domain, Selector: got.Selector, Algorithm: string(got.Algorithm),
			Bits: got.Bits, From: k.From.String(), Path: k.Path, There: there})
	}
	r.Settings = settings(plan, r.domains())
	if plan.Expire > 0 && plan.Expire < 24*time.Hour {
		r.Left = append(r.Left, dkimimport.Note{What: "signatures that are good for " + plan.Expire.String(),
			Why: "dkim.expire is at least 1d, because mail may wait in a queue before it is checked"})
	}
	return r, nil
}

// carryOver looks whether a key can be used, and whether it is there already.
func carryOver(before []admin.Key, k dkimimport.Key) (got keys.Key, there bool, err error) {
	if got, err = keys.Usable(k.Domain, k.Selector, k.Text); err != nil {
		return got, false, err
	}
	for _, old := range before {
		if old.Name != got.Name() {
			continue
		}
		if old.Record == got.Record() {
			return got, true, nil
		}
		return got, false, fmt.Errorf("another key has this name, it is %s: %w", old.State, keys.ErrExists)
	}
	return got, false, nil
}

// leave notes a key that could not be taken.
func (r *imported) leave(k dkimimport.Key, err error) {
	n := dkimimport.Note{Place: k.From, What: k.Domain + " s=" + k.Selector, Why: err.Error(), Do: "gatepost dkim new " + k.Domain + " makes keys"}
	if errors.Is(err, keys.ErrExists) {
		n.Do = "gatepost dkim list " + k.Domain + " shows it"
	}
	r.Left = append(r.Left, n)
}

// domains returns the domains of what was carried over, each once.
func (r *imported) domains() []string {
	var out []string
	seen := map[string]bool{}
	for _, k := range r.Carried {
		if !seen[k.Domain] {
			seen[k.Domain] = true
			out = append(out, k.Domain)
		}
	}
	return out
}

// settings returns what of a plan belongs into gatepost.yaml.
func settings(p dkimimport.Plan, domains []string) string {
	list := "[" + strings.Join(domains, ", ") + "]"
	var b strings.Builder
	if p.Local && len(domains) > 0 {
		fmt.Fprintf(&b, "local_senders: %s\n", list)
	}
	if len(p.Networks) > 0 && len(domains) > 0 {
		fmt.Fprintf(&b, "milter:\n  submission_networks:\n    - networks: [%s]\n      domains: %s\n", networkList(p.Networks), list)
	}
	if p.Expire >= 24*time.Hour {
		fmt.Fprintf(&b, "dkim:\n  expire: %s\n", unit.Duration(p.Expire))
	}
	return b.String()
}

func networkList(all []netip.Prefix) string {
	out := make([]string, len(all))
	for i, n := range all {
		if out[i] = netaddr.String(n); strings.Contains(out[i], ":") {
			out[i] = `"` + out[i] + `"`
		}
	}
	return strings.Join(out, ", ")
}

// print writes the report for a person.
func (r *imported) print(w io.Writer, name string) error {
	var b strings.Builder
	word := "carried over"
	if r.DryRun {
		word = "would be carried over"
	}
	for _, k := range r.Carried {
		w := word
		if k.There {
			w = "is there already"
		}
		fmt.Fprintf(&b, "%s s=%s (%s, %d bits): %s\n    %s", k.Domain, k.Selector, k.Algorithm, k.Bits, w, k.From)
		if k.Path != "" {
			fmt.Fprintf(&b, ", %s", k.Path)
		}
		b.WriteByte('\n')
	}
	if len(r.Carried) == 0 {
		fmt.Fprintf(&b, "no key of %s %s\n", name, word)
	}
	if r.Settings != "" {
		fmt.Fprintf(&b, "\nwrite into gatepost.yaml, for those of these domains that it is true of:\n\n%s", r.Settings)
	}
	if len(r.Left) > 0 {
		b.WriteString("\nnot carried over, or not as it was:\n\n")
	}
	for _, n := range r.Left {
		if n.File != "" {
			fmt.Fprintf(&b, "%s: ", n.Place)
		}
		fmt.Fprintf(&b, "%s\n    because %s\n", n.What, n.Why)
		if n.Do != "" {
			fmt.Fprintf(&b, "    instead: %s\n", n.Do)
		}
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}

// machineFiles are the files of this machine.
type machineFiles struct{}

// maxImportFile is what is read of one file; a larger one is refused by whoever
// reads it.
const maxImportFile = 9 << 20

func (machineFiles) ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxImportFile))
}

func (machineFiles) ReadDir(path string) ([]string, error) {
	es, err := os.ReadDir(path)
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = e.Name()
	}
	return out, err
}

// bare is an error of the system without the path, which the report has.
func bare(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
