package main

import (
	"context"
	"fmt"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/admin"
)

// live asks the running process what it lacks: what only mail that flows shows.
func (f *findings) live(ctx context.Context, cfg Config) {
	c := admin.NewClient(cfg.adminSocket())
	uncounted, err := c.Uncounted(ctx)
	if err != nil {
		f.fault(fmt.Errorf("ask the running gatepost: %w", err), "systemctl status gatepost")
		return
	}
	for _, u := range uncounted {
		f.Warnings = append(f.Warnings, finding{
			Text: fmt.Sprintf("%d messages since %s passed limits uncounted, the last is %s", u.Count, u.Since.Format("2006-01-02 15:04"), u.QueueID),
			Hint: u.Remedy})
	}
	if cfg.Policyd.SRS.Domain != "" {
		return
	}
	away, err := account.External(ctx, c.Accounts())
	if err != nil {
		f.fault(fmt.Errorf("aliases: %w", err), "")
		return
	}
	if len(away) > 0 {
		f.Warnings = append(f.Warnings, finding{
			Text: fmt.Sprintf("%d aliases lead to other providers (the first is %s), and policyd.srs has no domain: SPF fails there for mail that is sent on", len(away), away[0].Addr),
			Hint: "docs/howto/forwarding.md"})
	}
}
