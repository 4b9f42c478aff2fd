package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/queue"
)

// newQueueHelper is what gatepost-queue.service runs. It reads no configuration:
// what runs as root should depend on nothing.
func newQueueHelper() *cobra.Command {
	cmd := &cobra.Command{
		Use: "queue-helper", Short: "List and hold mail in Postfix's queue for gatepost, as root", Hidden: true, Args: cobra.NoArgs,
		Long: `List and hold mail in Postfix's queue for gatepost, as root.

systemd starts it (gatepost-queue.socket). It answers one user only, and knows
list, hold ID, release ID and delete ID.`,
		Example: "  gatepost queue-helper --user vmail",
	}
	name := cmd.Flags().String("user", "vmail", "who may ask: the user of gatepost.service, by name or number")
	postfix := cmd.Flags().String("postfix", "", "Postfix's config_directory, if not the default one")
	socket := cmd.Flags().String("socket", "", "listen here rather than on the socket of systemd")
	idle := cmd.Flags().Duration("idle", 30*time.Second, "end after so long without a question; 0 is never")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		uid, err := userID(*name)
		if err != nil {
			return err
		}
		if *postfix != "" && !filepath.IsAbs(*postfix) {
			return &misuse{fmt.Errorf("--postfix: %q does not begin with /", *postfix)}
		}
		ln, err := helperSocket(*socket, uid)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		return queue.NewHelper(uid, *postfix, log).Serve(ctx, ln, *idle)
	}
	return cmd
}

// userID finds a user by name or number.
func userID(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, &misuse{fmt.Errorf("--user: %w", err)}
	}
	return strconv.Atoi(u.Uid)
}

// helperSocket returns the one socket that systemd passed, or makes one at path
// that the user may open.
func helperSocket(path string, uid int) (net.Listener, error) {
	if path != "" {
		ln, err := listen.Unix(path, 0o600)
		if err != nil {
			return nil, err
		}
		if os.Geteuid() == 0 {
			err = os.Chown(path, uid, -1)
		}
		if err != nil {
			return nil, errors.Join(err, ln.Close())
		}
		return ln, nil
	}
	all, err := listen.Systemd()
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, hint(fmt.Errorf("systemd passed %d sockets, it has to be one", len(all)), "systemctl start gatepost-queue.socket starts it when it is asked")
	}
	for _, ln := range all {
		return ln, nil
	}
	return nil, nil
}
