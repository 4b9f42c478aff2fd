package filter

import (
	"context"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

const (
	// namesFor is how late the change of another process is seen.
	namesFor = time.Minute
	// maxNames bounds the addresses of one user, and maxAliasDepth the aliases
	// behind one another.
	maxNames      = 200
	maxAliasDepth = 5
)

// names knows by which aliases mail reaches whom.
type names struct {
	accounts accounts

	mu      sync.Mutex // guards all below
	version uint64
	read    time.Time
	// leads has the aliases of each target.
	leads map[mailaddr.Address][]mailaddr.Address
}

// of returns the addresses that lead to user, without the user's own.
func (n *names) of(ctx context.Context, user mailaddr.Address, now time.Time) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if v := n.accounts.Version(); n.leads == nil || v != n.version || now.Sub(n.read) > namesFor {
		if err := n.load(ctx); err != nil {
			return nil, err
		}
		n.version, n.read = v, now
	}
	seen := map[mailaddr.Address]bool{user.Folded(): true}
	next := []mailaddr.Address{user.Folded()}
	var out []string
	for depth := 0; depth < maxAliasDepth && len(next) > 0; depth++ {
		var behind []mailaddr.Address
		for _, to := range next {
			for _, a := range n.leads[to] {
				if seen[a] || len(out) == maxNames {
					continue
				}
				seen[a] = true
				out = append(out, a.String())
				behind = append(behind, a)
			}
		}
		next = behind
	}
	return out, nil
}

// load reads all aliases. A catch-all is no address, and one that leads to
// several is a group's: vacation would answer for each of them. It needs n.mu.
func (n *names) load(ctx context.Context) error {
	all, err := n.accounts.Aliases(ctx, "")
	if err != nil {
		return err
	}
	n.leads = make(map[mailaddr.Address][]mailaddr.Address, len(all))
	for _, a := range all {
		if a.Addr.LocalPart == "" || len(a.To) != 1 {
			continue
		}
		to := a.To[0].Folded()
		n.leads[to] = append(n.leads[to], a.Addr)
	}
	return nil
}
