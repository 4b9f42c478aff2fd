package policyd

import (
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/redis"
	"github.com/gatepost/gatepost/internal/state/shared"
)

// sharedState is the state of several hosts over a Redis of the benchmark.
func sharedState(b *testing.B) *shared.Store {
	b.Helper()
	cfg := redis.Default()
	cfg.Addresses = redistest.Single(b).Addresses
	remote, err := redis.Open(b.Context(), cfg, quiet)
	if err != nil {
		b.Fatal(err)
	}
	local, err := state.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "local.db"), quiet)
	if err != nil {
		b.Fatal(err)
	}
	s, err := shared.New(b.Context(), remote, local, limit.Join, quiet)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// BenchmarkPolicyRedis is BenchmarkPolicyRequest with the three limits on Redis.
// A request at RCPT asks for them and one at DATA counts them: each is one
// EVALSHA.
func BenchmarkPolicyRedis(b *testing.B) {
	deps, records := benchDeps(b)
	common := sharedState(b)
	deps.Limits = limit.New(common)
	s, err := New(benchConfig(), deps, infoLog())
	if err != nil {
		b.Fatal(err)
	}
	ln := unixListener(b)
	serve(b, s.Serve, ln)
	askEach(b, ln, submissionRequest(b), readReply)
	b.ReportMetric(100*float64(records.Dropped())/float64(b.N), "%dropped")
	if st := common.Stats(); st.Trips+st.Alone > 0 {
		b.Errorf("Redis was left %d times, %d requests were counted here alone", st.Trips, st.Alone)
	}
}

// BenchmarkRedisEvalsha is the anchor of BenchmarkPolicyRedis: the same script
// with three claims, as often asked as counted, from redis-benchmark over as many
// connections. The tool ends an argument at a zero byte, so the numbers have
// none, and a key has room for 255 counts; a thousand keys of each limit hold
// about as many times as those of the other benchmark.
func BenchmarkRedisEvalsha(b *testing.B) {
	tool, err := exec.LookPath("redis-benchmark")
	if err != nil {
		if os.Getenv("CI") == "true" {
			b.Fatal(err)
		}
		b.Skip("redis-benchmark is missing: install Debian's redis-tools")
	}
	source, err := os.ReadFile("../internal/state/redis/lua/take.lua")
	if err != nil {
		b.Fatal(err)
	}
	node := redistest.Single(b).Nodes[0]
	sha, ok := node.Do("SCRIPT", "LOAD", string(source)).(string)
	if !ok {
		b.Fatal("the script is not taken")
	}
	number := func(dst []byte, v uint64) []byte { return append(dst, binary.BigEndian.AppendUint64(nil, v)[2:]...) }
	var claims []byte
	for range 3 {
		claims = number(number(number(claims, 0x010101010101), 0xffffffffffff), 0x010101010101)
		claims = append(claims, 1)
	}
	_, port, err := net.SplitHostPort(node.Addr)
	if err != nil {
		b.Fatal(err)
	}
	evaluate := func(n int, only string) {
		cmd := exec.CommandContext(b.Context(), tool, "-h", "127.0.0.1", "-p", port, "-c", strconv.Itoa(benchConns), "-n", strconv.Itoa(n),
			"-r", "1000", "--csv", "EVALSHA", sha, "3", "{l}a__rand_int__", "{l}b__rand_int__", "{l}c__rand_int__", string(claims), only, "")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("redis-benchmark: %v: %s", err, out)
		}
	}
	evaluate(1000, "0")
	b.ResetTimer()
	evaluate((b.N+1)/2, "0")
	evaluate(b.N/2+1, "1") // RCPT asks, DATA counts
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "evalsha/s")
}
