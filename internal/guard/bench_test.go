package guard

import (
	"log/slog"
	"net/netip"
	"runtime"
	"strconv"
	"testing"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/secret"
)

type noJournal struct{}

func (noJournal) Record(journal.Record) {}

func benchGuard(b testing.TB, networks int) *Guard {
	b.Helper()
	cfg := Default()
	cfg.MaxNetworks = networks
	g, err := New(b.Context(), cfg, Deps{State: newFakeState(), Journal: noJournal{}}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// scattered is address number i, each in a /24 with few others.
func scattered(i uint32) netip.Addr {
	i *= 2654435761
	return netip.AddrFrom4([4]byte{byte(i>>24)&63 + 64, byte(i >> 16), byte(i >> 8), byte(i)})
}

func BenchmarkEvent(b *testing.B) {
	for _, tc := range []struct {
		name string
		run  func(g *Guard, i uint32, a Attempt)
	}{
		{"check", func(g *Guard, _ uint32, a Attempt) { g.Check(b.Context(), a) }},
		{"wrong", func(g *Guard, _ uint32, a Attempt) { g.Report(b.Context(), a, Wrong) }},
		{"right", func(g *Guard, i uint32, a Attempt) {
			a.Addr = scattered(i % 20_000)
			g.Report(b.Context(), a, Right)
		}},
		{"admit and wrong", func(g *Guard, _ uint32, a Attempt) {
			g.Admit(b.Context(), a)
			a.Admitted = true
			g.Report(b.Context(), a, Wrong)
		}},
		{"admit and right", func(g *Guard, i uint32, a Attempt) {
			a.Addr = scattered(i % 20_000)
			g.Admit(b.Context(), a)
			a.Admitted = true
			g.Report(b.Context(), a, Right)
		}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			g := benchGuard(b, 1_000_000)
			a := Attempt{User: "alice@example.org", Service: "imap", Mech: "PLAIN", Password: secret.String("correct horse")}
			for i := range uint32(200_000) {
				a.Addr = scattered(i)
				g.Report(b.Context(), a, Wrong)
			}
			b.ReportAllocs()
			i := uint32(0)
			for b.Loop() {
				i++
				a.Addr = scattered(i % 200_000)
				tc.run(g, i, a)
			}
		})
	}
}

// BenchmarkNote is for events of port 25.
func BenchmarkNote(b *testing.B) {
	g := benchGuard(b, 1_000_000)
	b.ReportAllocs()
	i := uint32(0)
	for b.Loop() {
		i++
		g.Note(b.Context(), Event{Kind: UnknownRecipient, Addr: scattered(i % 200_000), User: "nobody@example.org"})
	}
}

// fill lets a million networks fail, three times each.
func fill(t testing.TB, g *Guard, networks int) {
	t.Helper()
	users := make([]string, 1000)
	for i := range users {
		users[i] = "user" + strconv.Itoa(i) + "@example.org"
	}
	pw := [3]secret.Value{secret.String("one"), secret.String("two"), secret.String("three")}
	for i := range uint32(networks) {
		a := Attempt{Addr: scattered(i), User: users[i%1000], Service: "imap", Password: pw[i%3]}
		g.Report(t.Context(), a, Wrong)
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// memory returns what so many networks take.
func memory(t testing.TB, networks int) uint64 {
	before := heapBytes()
	g := benchGuard(t, networks)
	g.reconfigureForTest(t)
	fill(t, g, networks+networks/10)
	took := heapBytes() - before
	if g.counts.hosts.n != networks || g.counts.pairs.n != networks {
		t.Errorf("%d networks and %d pairs, want %d", g.counts.hosts.n, g.counts.pairs.n, networks)
	}
	return took
}

// TestMemory: a million networks take 200 MB at most, a tenth of them a tenth.
func TestMemory(t *testing.T) {
	if took := memory(t, 100_000); took > 20<<20 {
		t.Errorf("100000 networks take %d KB", took>>10)
	}
}

func BenchmarkMillionNetworks(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(memory(b, 1_000_000))/1e6, "MB")
	}
}

// reconfigureForTest takes the lines of whole networks away, which would drop
// what is to be counted.
func (g *Guard) reconfigureForTest(t testing.TB) {
	t.Helper()
	cfg := g.cfg.Load().Config
	cfg.Rules.Passwords.Mode, cfg.Rules.NetworkBan.Mode = "off", "off"
	g.Reconfigure(cfg)
}
