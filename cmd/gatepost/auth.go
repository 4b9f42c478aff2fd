package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/resolver"
)

func newAuth(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "auth", Short: "Who really sent a message: SPF, DKIM, ARC and DMARC, step by step",
		Example: "  gatepost auth check message.eml\n  gatepost auth spf example.org --ip 192.0.2.7\n  gatepost auth dmarc example.org"}
	cmd.AddCommand(newAuthCheck(a), newAuthSPF(a), newAuthDMARC(a))
	return cmd
}

// asker reads the configuration and returns a resolver for one command. Nothing
// of Gatepost has to be set up for a question to DNS: without the default file
// the defaults hold.
func (a *app) asker() (Config, *resolver.Resolver, error) {
	cfg := Default()
	err := config.Load(a.configPath, &cfg)
	switch {
	case errors.Is(err, os.ErrNotExist) && a.configPath == defaultConfig:
		cfg = Default()
		cfg.handDown()
	case errors.Is(err, os.ErrNotExist):
		return cfg, nil, err
	case err != nil:
		return cfg, nil, hint(err, "gatepost --config %s config check says all that is wrong", a.configPath)
	}
	res, err := resolver.New(cfg.Resolver, quietLog())
	if err != nil {
		return cfg, nil, fmt.Errorf("resolver: %w", err)
	}
	return cfg, res, nil
}

// authTime bounds one command: twice what a message may take, as the command
// asks for more.
func authTime(ctx context.Context, cfg Config) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 2*cfg.Mailauth.Timeout.Std()+time.Second)
}

// senderFlags are the options that say who sent a message.
type senderFlags struct {
	ip, helo, from string
	changed        func(name string) bool
}

func addSenderFlags(cmd *cobra.Command) *senderFlags {
	f := &senderFlags{changed: cmd.Flags().Changed}
	cmd.Flags().StringVar(&f.ip, "ip", "", "address of the SMTP client")
	cmd.Flags().StringVar(&f.helo, "helo", "", "what it said in HELO or EHLO")
	cmd.Flags().StringVar(&f.from, "from", "", "what it said in MAIL FROM; \"<>\" is the null one")
	return f
}

// addr returns --ip; the zero Addr when it was not given.
func (f *senderFlags) addr() (netip.Addr, error) {
	if !f.changed("ip") {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(f.ip)
	if err != nil {
		return addr, &misuse{fmt.Errorf("--ip: %q is not an address such as 192.0.2.7 or 2001:db8::7", f.ip)}
	}
	return addr.Unmap().WithZone(""), nil
}

// mailFrom returns --from; given is false when there is none.
func (f *senderFlags) mailFrom() (from mailaddr.Address, given bool, err error) {
	if !f.changed("from") {
		return from, false, nil
	}
	from, err = mailaddr.ParsePath(f.from)
	if err != nil {
		return from, true, &misuse{fmt.Errorf("--from: %q is not an address such as alice@example.org, or <>", f.from)}
	}
	return from, true, nil
}

// page writes lines of text for a person. What is in them may be a stranger's:
// each stays one line, and does nothing to a terminal.
type page struct {
	w   io.Writer
	err error
}

// line writes one line, depth steps to the right.
func (p *page) line(depth int, format string, args ...any) {
	if p.err != nil {
		return
	}
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\t", " ")
	text = strings.ReplaceAll(printable(text), "\n", `\n`)
	_, p.err = fmt.Fprintf(p.w, "%s%s\n", strings.Repeat("  ", depth), text)
}

// space writes an empty line.
func (p *page) space() { p.line(0, "") }

// because returns ": reason", or nothing.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// orNone returns s, or a word for nothing.
func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
