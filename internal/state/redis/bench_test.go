package redis

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// clients is how many connections both sides of the comparison use.
const clients = 50

// three is what a policy with three limits counts for one message.
func three(user int) []state.Claim {
	return []state.Claim{
		{Key: fmt.Sprint("hour/user", user, "@example.org"), N: 1, Max: 100, Window: time.Hour, Soft: true},
		{Key: fmt.Sprint("day/user", user, "@example.org"), N: 1, Max: 1000, Window: 24 * time.Hour, Soft: true},
		{Key: fmt.Sprint("domain/example", user%100, ".org"), N: 1, Max: 100_000, Window: time.Hour, Soft: true},
	}
}

// BenchmarkTakeAll counts three limits in one round trip.
func BenchmarkTakeAll(b *testing.B) {
	s := openLab(b, redistest.Single(b), "bench")
	b.ReportAllocs()
	b.SetParallelism(clients / 2)
	var next atomic.Int64
	b.ResetTimer() // the server is up
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.TakeAll(b.Context(), three(int(next.Add(1))%10_000), false); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "policies/s")
}

// BenchmarkTakeAllAlone is the time of one request that has the server to itself.
func BenchmarkTakeAllAlone(b *testing.B) {
	s := openLab(b, redistest.Single(b), "bench")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := s.TakeAll(b.Context(), three(i%10_000), false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServer is what redis-benchmark gets of the same server: from a script
// that counts three keys up and gives them a life, which is the least that three
// limits need, and from ours.
func BenchmarkServer(b *testing.B) {
	tool, err := exec.LookPath("redis-benchmark")
	if err != nil {
		b.Skip("there is no redis-benchmark")
	}
	lab := redistest.Single(b)
	s := openLab(b, lab, "bench")
	least := "for i=1,#KEYS do redis.call('INCRBY',KEYS[i],ARGV[1]) redis.call('PEXPIRE',KEYS[i],ARGV[2]) end return 1"
	trivial := lab.Nodes[0].Do("SCRIPT", "LOAD", least).(string)
	if _, err := s.TakeAll(b.Context(), three(0), false); err != nil { // loads it
		b.Fatal(err)
	}
	// The tool ends an argument at a zero byte, so the numbers have none; each
	// claim fits.
	var packed []byte
	for range 3 {
		packed = appendUint(packed, 0x010101010101, countLen)
		packed = appendUint(packed, 0x7f7f7f7f7f7f, countLen)
		packed = append(appendUint(packed, 0x010101010101, countLen), 1)
	}
	keys := func(kind string) []string {
		return []string{"3", "{l}" + kind + "a__rand_int__", "{l}" + kind + "b__rand_int__", "{l}" + kind + "c__rand_int__"}
	}
	for name, args := range map[string][]string{
		"trivial": append(append([]string{"EVALSHA", trivial}, keys("t")...), "1", "3600000"),
		"ours":    append(append([]string{"EVALSHA", s.scripts.take.sha}, keys("o")...), string(packed), "0", ""),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(redisBenchmark(b, tool, lab.Nodes[0].Addr, args), "evalsha/s")
			}
		})
	}
}

// redisBenchmark returns requests a second.
func redisBenchmark(b *testing.B, tool, addr string, args []string) float64 {
	b.Helper()
	_, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command(tool, append([]string{"-h", "127.0.0.1", "-p", port, "-c", strconv.Itoa(clients), "-n", "100000", "-r", "10000", "--csv"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	fields := strings.Split(lines[len(lines)-1], `","`)
	rate, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return rate
}

// BenchmarkMemory is what a million tracked keys take in the server, measured on
// a fiftieth of them.
func BenchmarkMemory(b *testing.B) {
	const keys = 20_000
	entry := func(table state.Table, key string, value int) func(s *Store, i int) error {
		return func(s *Store, i int) error {
			e := state.Entry{Key: fmt.Sprintf(key, i, i), Value: make([]byte, value), Expires: time.Now().Add(time.Hour)}
			return s.Put(b.Context(), table, e, false)
		}
	}
	counter := func(grants int) func(s *Store, i int) error {
		return func(s *Store, i int) error {
			for range grants {
				if _, err := s.Take(b.Context(), fmt.Sprintf("hour/user%d@example.org", i), 1, 1000, time.Hour); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, bc := range []struct {
		name string
		put  func(s *Store, i int) error
	}{
		{"counter of one grant", counter(1)},
		{"counter of ten grants", counter(10)},
		{"greylist triplet", entry(state.Seen, "t/192.0.2.%d/user%d@example.org/x@example.net", 24)},
		{"proven login", entry(state.Login, "pair/192.0.2.%d user%d@example.org", 4)},
		{"ban", entry(state.Ban, "192.0.2.%d/32%d", 120)},
		{"delivery verdict", entry(state.Delivery, "4bQ%dzC/17000000%d", 90)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(memoryTaken(b, keys, bc.put), "MB/million")
			}
		})
	}
}

// memoryTaken returns how much n puts take, in bytes each, which is megabytes a
// million.
func memoryTaken(b *testing.B, n int, put func(s *Store, i int) error) float64 {
	b.Helper()
	s := openLab(b, redistest.Single(b), "m")
	used := func() int64 {
		st, err := s.Stats(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return st.Servers[0].MemoryBytes
	}
	if err := put(s, n); err != nil { // the scripts are loaded
		b.Fatal(err)
	}
	before := used()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if err := put(s, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64(used()-before) / float64(n)
}
