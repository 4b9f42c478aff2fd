package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/firewall"
)

// newFirewallHelper is what gatepost-firewall.service runs. It reads no
// configuration: what may change the firewall should depend on nothing.
func newFirewallHelper() *cobra.Command {
	cmd := &cobra.Command{
		Use: "firewall-helper", Short: "Keep bans in nftables for gatepost, with CAP_NET_ADMIN", Hidden: true, Args: cobra.NoArgs,
		Long: `Keep bans in nftables for gatepost, with CAP_NET_ADMIN.

systemd starts it (gatepost-firewall.socket). It answers one user only, and knows
sync, ban, lift, list and off, for the mail and web ports but never port 25. When
it ends the bans stay, each until its time is over.`,
		Example: "  gatepost firewall-helper --user vmail",
	}
	name := cmd.Flags().String("user", "vmail", "who may ask: the user of gatepost.service, by name or number")
	socket := cmd.Flags().String("socket", "", "listen here rather than on the socket of systemd")
	idle := cmd.Flags().Duration("idle", 30*time.Second, "end after so long without a connection; 0 is never")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		uid, err := userID(*name)
		if err != nil {
			return err
		}
		ln, err := helperSocket(*socket, uid)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		return firewall.NewHelper(uid, log).Serve(ctx, ln, *idle)
	}
	return cmd
}
