package redis

import (
	"log/slog"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/statetest"
	"github.com/gatepost/gatepost/internal/unit"
)

// openLab opens a store on lab; each name has keys of its own.
func openLab(t testing.TB, lab *redistest.Lab, name string) *Store {
	t.Helper()
	return openWith(t, lab, name, Default())
}

func openWith(t testing.TB, lab *redistest.Lab, name string, cfg Config) *Store {
	t.Helper()
	cfg.Addresses, cfg.MasterName = lab.Addresses, lab.MasterName
	s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.names = namesFor(name+":", cfg.Database)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// contract runs both contracts on lab, which restart shakes.
func contract(t *testing.T, lab *redistest.Lab, restart func(t *testing.T), lossy bool) {
	t.Helper()
	// What is kept is the question here, not how fast: a machine that tests many
	// things at once may take longer. TestAway has the limits of time.
	slow := Default()
	slow.DialTimeout, slow.Timeout = unit.Duration(2*time.Second), unit.Duration(2*time.Second)
	open := func(t *testing.T, name string) state.Store { return openWith(t, lab, name, slow) }
	second := func(t *testing.T, name string, ahead time.Duration) state.Store {
		s := openWith(t, lab, name, slow)
		s.now = func() time.Time { return time.Now().Add(ahead) }
		return s
	}
	statetest.Run(t, open, statetest.Shared(second), statetest.Restarts(restart, lossy))
	statetest.RunWatcher(t, open, restart)
}

func TestSingle(t *testing.T) {
	lab := redistest.Single(t, redistest.Persist())
	contract(t, lab, func(*testing.T) { lab.Restart(lab.Nodes[0]) }, false)
}

func TestCluster(t *testing.T) {
	lab := redistest.Cluster(t, redistest.Persist())
	contract(t, lab, func(*testing.T) {
		for _, n := range lab.Nodes {
			lab.Restart(n)
		}
		lab.Settled()
	}, false)
}

func TestClusterFailover(t *testing.T) {
	lab := redistest.Cluster(t, redistest.Replicas())
	contract(t, lab, func(*testing.T) { lab.Failover() }, true)
}

func TestSentinel(t *testing.T) {
	lab := redistest.Sentinel(t)
	contract(t, lab, func(*testing.T) { lab.Failover() }, true)
}
