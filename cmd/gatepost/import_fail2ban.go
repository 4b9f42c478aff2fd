package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/fail2ban"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// banImport is the report in JSON.
type banImport struct {
	Settings string          `json:"settings"`
	Carried  []string        `json:"carried_jails"`
	Bans     []importedBan   `json:"bans"`
	Left     []fail2ban.Note `json:"not_carried"`
	Applied  bool            `json:"applied"`
}

type importedBan struct {
	Network string    `json:"network"`
	Jail    string    `json:"jail"`
	Until   time.Time `json:"until"`
	Error   string    `json:"error,omitempty"`
}

func newBanImport(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "import-fail2ban [DIRECTORY]", Short: "Carry on fail2ban's settings and bans",
		Long: `Carry on fail2ban's settings and bans.

It reads jail.conf, jail.local and jail.d below DIRECTORY, /etc/fail2ban by
default, and with --db or --bans whom fail2ban bans now. The standard output gets
the lines for gatepost.yaml; the standard error says what was carried over and,
for everything else, the place, why, and what to do. Nothing is changed without
--apply, which bans here whom fail2ban bans, until the same time. Nothing of
fail2ban is ever changed.`,
		Example: `  gatepost ban import-fail2ban
  gatepost ban import-fail2ban --db /var/lib/fail2ban/fail2ban.sqlite3 --apply
  fail2ban-client get dovecot banip --with-time > bans; gatepost ban import-fail2ban --bans bans --jail dovecot`,
		Args: cobra.MaximumNArgs(1)}
	db := cmd.Flags().String("db", "", "fail2ban's database, for the bans that hold now")
	bans := cmd.Flags().String("bans", "", `a file with what "fail2ban-client get JAIL banip --with-time" printed`)
	jail := cmd.Flags().String("jail", "", "the jail of --bans")
	apply := cmd.Flags().Bool("apply", false, "ban here whom fail2ban bans")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (*bans == "") != (*jail == "") {
			return &misuse{fmt.Errorf("--bans and --jail belong together")}
		}
		dir := "/etc/fail2ban"
		if len(args) > 0 {
			dir = args[0]
		}
		now := time.Now()
		// Before the client, which may give up root: the database is root's to read.
		plan, err := planImport(cmd, dir, *db, *bans, *jail, now)
		if err != nil {
			return hint(err, "the directory is that of jail.conf, the database that of dbfile in fail2ban.conf")
		}
		out := reportBans(plan)
		failed := false
		if *apply {
			if failed, err = applyBans(cmd, a, plan, out.Bans, now); err != nil {
				return err
			}
			out.Applied = true
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), out)
		} else {
			err = out.print(cmd.OutOrStdout(), cmd.ErrOrStderr())
		}
		if err == nil && failed {
			return &saidNo{}
		}
		return err
	}
	return cmd
}

// planImport reads what fail2ban has.
func planImport(cmd *cobra.Command, dir, db, list, jail string, now time.Time) (fail2ban.Plan, error) {
	cfg, err := fail2ban.Read(os.DirFS(dir))
	if err != nil {
		return fail2ban.Plan{}, fmt.Errorf("read %s: %w", dir, err)
	}
	var live []fail2ban.Ban
	if db != "" {
		got, notes, err := fail2ban.ReadDatabase(cmd.Context(), db, now)
		if err != nil {
			return fail2ban.Plan{}, err
		}
		live, cfg.Notes = append(live, got...), append(cfg.Notes, notes...)
	}
	if list != "" {
		f, err := os.Open(list)
		if err != nil {
			return fail2ban.Plan{}, err
		}
		defer f.Close()
		got, notes, err := fail2ban.ReadList(f, jail, now)
		if err != nil {
			return fail2ban.Plan{}, fmt.Errorf("read %s: %w", list, err)
		}
		live, cfg.Notes = append(live, got...), append(cfg.Notes, notes...)
	}
	return fail2ban.Make(cfg, live, now), nil
}

func reportBans(plan fail2ban.Plan) banImport {
	out := banImport{Carried: list(plan.Carried), Left: list(plan.Notes), Bans: []importedBan{}}
	if plan.Settings != nil {
		out.Settings = plan.Settings.YAML()
	}
	for _, b := range plan.Bans {
		out.Bans = append(out.Bans, importedBan{Network: netaddr.String(b.Network), Jail: b.Jail, Until: b.Until.UTC()})
	}
	return out
}

// applyBans adds the bans, and notes in all which of them could not be.
func applyBans(cmd *cobra.Command, a *app, plan fail2ban.Plan, all []importedBan, now time.Time) (failed bool, err error) {
	c, done, err := a.client(cmd.Context())
	if err != nil {
		return false, err
	}
	defer done()
	for i, b := range plan.Bans {
		if tooWide(b.Network) {
			err = fmt.Errorf("it is larger than a /%d (IPv4) or a /%d (IPv6)", widest4, widest6)
		} else {
			_, err = c.AddBan(cmd.Context(), b.Network, max(b.Until.Sub(now).Round(time.Second), time.Second), "from fail2ban, jail "+printable(b.Jail))
		}
		if err != nil {
			all[i].Error, failed = err.Error(), true
		}
	}
	return failed, nil
}

func (r banImport) print(stdout, stderr io.Writer) error {
	for _, j := range r.Carried {
		fmt.Fprintf(stderr, "carried over: jail %s\n", printable(j))
	}
	word := "to ban here, with --apply"
	if r.Applied {
		word = "banned here"
	}
	done := 0
	for _, b := range r.Bans {
		if b.Error == "" {
			done++
			continue
		}
		fmt.Fprintf(stderr, "not banned: %s: %s\n", b.Network, printable(b.Error))
	}
	fmt.Fprintf(stderr, "networks %s: %d\n", word, done)
	for _, n := range r.Left {
		where := ""
		if n.Where != "" {
			where = printable(n.Where) + ": "
		}
		fmt.Fprintf(stderr, "not carried over: %s%s: %s\n", where, printable(n.What), printable(n.Why))
		if n.Do != "" {
			fmt.Fprintf(stderr, "  instead: %s\n", printable(n.Do))
		}
	}
	if r.Settings == "" {
		fmt.Fprintln(stderr, "no jail of mail is enabled, so there are no settings")
	}
	_, err := io.WriteString(stdout, r.Settings)
	return err
}
