package journal

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// policyRecord is what policyd records of a user's recipient.
func policyRecord(i, clients int) Record {
	n := uint32(i%clients) * 2654435761 // no order that an index would like
	return Record{
		Time: time.Now(), Daemon: "policyd", Event: "rcpt", Session: fmt.Sprintf("7a2a.6affed5e.%x.0", i), Service: "policy",
		ClientAddr: netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}),
		ClientPort: 40001, ClientName: "mx.example.net", Helo: "mx.example.net", User: "u1@example.org", Mech: "PLAIN",
		MailFrom: "u1@example.org", RcptTo: []string{"someone@example.net"}, Verdict: "dunno", Reply: "DUNNO",
		Facts: []Fact{{"limit", "u1@example.org: 17 of 200 recipients in 1h0m0s"}}, Took: 12345,
	}
}

// BenchmarkRecord tells what a record costs the caller, and then the writer,
// in cpu-ns/op.
func BenchmarkRecord(b *testing.B) {
	b.Run("caller", func(b *testing.B) {
		j, r := noWriter(), policyRecord(1, 1)
		b.ReportAllocs()
		for b.Loop() {
			j.Record(r)
			j.waiting.Add(-(<-j.queue).size)
		}
	})
	policy := func(clients int) func(i int) Record {
		return func(i int) Record { return policyRecord(i, clients) }
	}
	b.Run("policy, one client", func(b *testing.B) { benchWriter(b, policy(1)) })
	b.Run("policy, many clients", func(b *testing.B) { benchWriter(b, policy(1<<30)) })
	b.Run("message", func(b *testing.B) {
		r := inbound().Steps[5].Record
		benchWriter(b, func(i int) Record {
			r.Time, r.QueueID = time.Now(), fmt.Sprint("4cBq", i)
			return r
		})
	})
}

func benchWriter(b *testing.B, record func(i int) Record) {
	j, err := Open(b.Context(), filepath.Join(b.TempDir(), "journal.db"), Default(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	var used time.Duration
	for done := 0; done < b.N; {
		for range min(2000, b.N-done) {
			j.Record(record(done))
			done++
		}
		start := cpu(b)
		if err := j.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		used += cpu(b) - start
	}
	b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
	if n := j.Dropped(); n > 0 {
		b.Errorf("dropped %d", n)
	}
}

// cpu returns the processor time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
