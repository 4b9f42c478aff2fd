package abuse

import (
	"context"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Report is how an account stands, for a person.
type Report struct {
	Account mailaddr.Address `json:"account"`
	Mode    string           `json:"mode"`
	// Since is when the watcher began; Settled says that it holds accounts.
	Since   time.Time `json:"since"`
	Settled bool      `json:"settled"`
	Hours   int       `json:"hours_of_habit"`
	Warn    float64   `json:"warn"`
	Hold    float64   `json:"hold"`
	Verdict
	// Unwatched says of each source that is missing what gives it.
	Unwatched []string `json:"not_watched,omitempty"`
}

// Report returns how account stands now.
func (w *Watcher) Report(ctx context.Context, account mailaddr.Address) (Report, error) {
	now := time.Now()
	k, err := w.load(ctx, account.Folded().String(), now)
	if err != nil {
		return Report{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	cfg, p := w.cfg.Load(), w.policy(now)
	r := Report{
		Account: account.Folded(), Mode: string(cfg.Mode), Since: w.sources.Since, Settled: p.Settled,
		Hours: len(k.habit.Hours), Warn: cfg.Warn, Hold: cfg.Hold,
		Verdict: decide(p, k.usualNow(now), k.window.sum(now)),
	}
	for _, s := range []source{fromMilter, fromScan, fromPolicy, fromPostfix, fromOutside, fromLogin, fromGeo} {
		if now.Sub(w.sources.Heard[s]) >= habitDays*24*time.Hour {
			r.Unwatched = append(r.Unwatched, string(s)+": "+remedy(s))
		}
	}
	return r, nil
}

// Forgive forgets the last hour of an account that is released, so that it is
// not held again at once. With legitimate the last day counts as habit from now
// on, else it never does.
func (w *Watcher) Forgive(ctx context.Context, account mailaddr.Address, legitimate bool) error {
	now := time.Now()
	name := strings.ToLower(account.Folded().String())
	k, err := w.load(ctx, name, now)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if legitimate {
		k.habit.accept(now)
	} else {
		k.habit.disown(now)
	}
	k.window, k.acted, k.usualAt = window{}, Nothing, 0
	return w.writeHabit(ctx, name, &k.habit, now)
}
