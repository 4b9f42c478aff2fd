package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/lists/maps"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/srs"
	"github.com/gatepost/gatepost/policyd"
)

func newPolicy(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "What the policy server would answer, and how often each rule did",
		Example: "  gatepost policy test < request.txt\n  gatepost policy replay --since 24h --config /root/new.yaml"}
	cmd.AddCommand(newPolicyTest(a), newPolicyReplay(a), newPolicyRules(a))
	return cmd
}

func newPolicyTest(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "test", Short: "Say how a request would be answered, and what led to it", Args: cobra.NoArgs,
		Long: `Say how a request would be answered, and what led to it.

The request is read from stdin, as Postfix sends it: lines name=value, of which
only protocol_state and what matters need to be there. With --from-journal it is
made of what the journal has of a message. Nothing is counted or remembered.`,
		Example: "  printf 'protocol_state=RCPT\\nsasl_username=alice@example.org\\nsender=sales@example.org\\nrecipient=x@example.net\\n' | gatepost policy test\n" +
			"  gatepost policy test --from-journal 4XyZ1b2c3dzABC",
	}
	id := cmd.Flags().String("from-journal", "", "queue id or Message-ID of a message")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		asked, lost, err := a.requests(cmd, c, *id)
		if err != nil {
			return err
		}
		var out []policyd.Trial
		for _, text := range asked {
			t, err := a.try(cmd.Context(), c, text)
			if err != nil {
				return err
			}
			t.Lacks = append(t.Lacks, lost...)
			out = append(out, t)
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), out)
		}
		for i, t := range out {
			if i > 0 {
				fmt.Fprintln(cmd.OutOrStdout())
			}
			printTrial(cmd.OutOrStdout(), t)
		}
		return nil
	}
	return cmd
}

// maxTestBytes bounds a request on stdin.
const maxTestBytes = policyd.MaxRequestBytes

// requests returns what is to be asked, and what is not known of it.
func (a *app) requests(cmd *cobra.Command, c *admin.Client, id string) (asked, lost []string, err error) {
	if id == "" {
		b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxTestBytes+1))
		if err != nil {
			return nil, nil, fmt.Errorf("read request: %w", err)
		}
		text := strings.ReplaceAll(string(b), "\r\n", "\n")
		if strings.TrimSpace(text) == "" {
			return nil, nil, &misuse{hint(errors.New("no request on stdin"), "gatepost policy test --help shows one")}
		}
		if !strings.Contains("\n"+text, "\nrequest=") {
			text = "request=smtpd_access_policy\n" + text
		}
		return []string{text}, nil, nil
	}
	story, err := c.Story(cmd.Context(), id)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, nil, fmt.Errorf("the journal has nothing of %s", id)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, step := range story.Steps {
		for _, one := range policyd.FromJournal(step.Record) {
			b, err := one.Request.Append(nil)
			if err != nil {
				return nil, nil, err
			}
			asked = append(asked, string(b))
		}
	}
	if len(asked) == 0 {
		return nil, nil, fmt.Errorf("the policy server was not asked about %s", id)
	}
	return asked, []string{"what the journal does not keep: " + strings.Join(policyd.Lost(), ", ")}, nil
}

// try asks the running policy server, or one of our own where none runs.
func (a *app) try(ctx context.Context, c *admin.Client, text string) (t policyd.Trial, err error) {
	err = c.TryPolicy(ctx, text, &t)
	var refused *admin.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		return t, err
	}
	s, lacks, err := a.policyServer(c)
	if err != nil {
		return t, err
	}
	t, err = s.Try(ctx, []byte(text), false)
	t.Lacks = append(t.Lacks, lacks...)
	return t, err
}

func printTrial(w io.Writer, t policyd.Trial) {
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintf(w, "%-10s %s\n", what, printable(text))
		}
	}
	line("answer", t.Action)
	line("because of", t.Rule)
	line("hint", t.Hint)
	for _, would := range t.Would {
		line("would have", would)
	}
	for _, f := range t.Facts {
		line("known", f.Key+": "+f.Value)
	}
	for _, l := range t.Lacks {
		line("not judged", l)
	}
}

// policyServer returns a policy server of the configuration over the accounts of
// c, which listens nowhere and whose limits have counted nothing, and what it
// can not judge.
func (a *app) policyServer(c *admin.Client) (s *policyd.Server, lacks []string, err error) {
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	dns, err := resolver.New(cfg.Resolver, log)
	if err != nil {
		return nil, nil, err
	}
	m, err := maps.New(cfg.Maps, nil, log)
	if err != nil {
		return nil, nil, err
	}
	var reverse srs.Live
	r, err := cfg.rewriter(srs.ReadKeys)
	if err != nil {
		lacks = append(lacks, err.Error())
	} else {
		reverse.Set(r)
	}
	store := &rememberedAccounts{Store: c.Accounts(), kept: map[string]any{}}
	s, err = policyd.New(cfg.Policyd, policyd.Deps{
		Accounts: store, Limits: limit.New(nil), Entries: access.NewCache(store), DNS: dns, Maps: m, SRS: &reverse,
	}, log)
	return s, lacks, err
}

func newPolicyRules(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Short: "The rules of the policy server, and how often each decided since the start",
		Example: "  gatepost policy rules --json", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		var all []policyd.Hits
		if err := c.PolicyHits(cmd.Context(), &all); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), list(all))
		}
		var rows [][]string
		for _, h := range all {
			rows = append(rows, []string{h.Name, string(h.Mode), number(h.Decided), number(h.Would), number(h.Failed)})
		}
		return printTable(cmd.OutOrStdout(), []string{"WHAT", "MODE", "DECIDED", "WOULD HAVE", "FAILED"}, rows)
	}
	return cmd
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// rememberedAccounts asks the store once for each row: a replay asks for few of
// them many times.
type rememberedAccounts struct {
	account.Store
	kept map[string]any
}

// maxRemembered bounds the rows.
const maxRemembered = 200_000

// row is one answer.
type row[T any] struct {
	v   T
	err error
}

// remember answers from kept, or asks.
func remember[T any](r *rememberedAccounts, key string, ask func() (T, error)) (T, error) {
	if known, ok := r.kept[key].(row[T]); ok {
		return known.v, known.err
	}
	v, err := ask()
	if (err == nil || errors.Is(err, account.ErrNotFound)) && len(r.kept) < maxRemembered {
		r.kept[key] = row[T]{v, err}
	}
	return v, err
}

// since reads a time span that ends now.
func sinceOf(s string) (time.Time, error) {
	d, err := parseSpan(s)
	if err != nil {
		return time.Time{}, &misuse{fmt.Errorf("--since: %w", err)}
	}
	return time.Now().Add(-d), nil
}
