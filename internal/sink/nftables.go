package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/firewall"
)

// nftables asks the firewall's helper.
type nftables struct {
	client   *firewall.Client
	services []string
}

func newNftables(cfg NftablesConfig) *nftables {
	return &nftables{client: firewall.NewClient(cfg.Socket), services: cfg.Services}
}

// ban returns b with the services that the firewall may close.
func (n *nftables) ban(b Ban) firewall.Ban {
	out := firewall.Ban{Network: b.Network, Left: b.left()}
	for _, s := range b.Services {
		if slices.Contains(n.services, s) {
			out.Services = append(out.Services, s)
		}
	}
	return out
}

func (n *nftables) apply(ctx context.Context, c Change) error {
	b := n.ban(c.Ban)
	var err error
	switch {
	case len(b.Services) == 0:
		// A network may have one ban of its logins and one of port 25: the second
		// says nothing of the first.
		err = firewall.ErrNoService
	case c.Lifted:
		err = n.client.Lift(ctx, b.Network)
	default:
		err = n.client.Ban(ctx, b)
	}
	if errors.Is(err, firewall.ErrNetwork) || errors.Is(err, firewall.ErrNoService) {
		return fmt.Errorf("%w: %w", errKnown, err)
	}
	return err
}

func (n *nftables) sync(ctx context.Context, all []Ban) error {
	var take []firewall.Ban
	now := time.Now()
	for _, b := range all {
		if b.Until.After(now) {
			take = append(take, n.ban(b))
		}
	}
	_, err := n.client.Sync(ctx, take)
	return err
}

func (n *nftables) close() error { return n.client.Close() }
