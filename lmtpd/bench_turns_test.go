package lmtpd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// benchTurn is how long one does the work before the next has his turn. How
// fast a disk is and what else goes on changes within seconds, by more than
// what is to be measured.
const benchTurn = 50 * time.Millisecond

// The rivals, who do the same work in turns.
const (
	ours = iota
	bare
	dovecot
	rivals
)

// contest is what each of the rivals needs for one message, in nanoseconds; 0
// is for one that is not here.
type contest [rivals]float64

// contests has what was measured for a size, in turn: the k-th benchmark of each
// rival tells of the k-th contest.
var contests = make(map[int]*record)

type record struct {
	measured []contest
	told     [rivals][]*testing.B
}

// benchContest reports what concerns the rival name of a contest with messages of
// size bytes, which it measures if no other rival did.
func benchContest(b *testing.B, size, name int) {
	r := contests[size]
	if r == nil {
		r = new(record)
		contests[size] = r
	}
	k := slices.Index(r.told[name], b) // a benchmark is called several times
	if k < 0 {
		k = len(r.told[name])
		r.told[name] = append(r.told[name], b)
	}
	if k == len(r.measured) {
		r.measured = append(r.measured, measure(b, size))
	}
	found := r.measured[k]
	took := found[name]
	if took == 0 {
		b.Skip("dovecot-lmtpd is not installed, or this is not root")
	}
	b.ReportMetric(took, "ns/op")
	b.ReportMetric(1e9/took, "msg/s")
	if name != bare {
		b.ReportMetric(found[bare]/took, "of-bare")
	}
	if name == ours && found[dovecot] != 0 {
		b.ReportMetric(found[dovecot]/took, "of-Dovecot")
	}
}

// measure lets all have their turns until the benchmark is long enough.
func measure(b *testing.B, size int) (c contest) {
	msg := benchMessage(size)
	clients := benchServer(b, benchClients)
	stored := []byte(strings.ReplaceAll(receivedBy("BARE")+string(msg), "\r\n", "\n"))
	names := fmt.Sprintf("%d.bare", time.Now().UnixNano())
	work := [rivals]func(client, i int) error{
		ours: func(client, i int) error { return clients[client].send(msg, benchUser(client, i)) },
		bare: func(client, i int) error { return bareWrite(benchBox(client, i), fmt.Sprint(names, i), stored) },
	}
	if others := dovecotClients(b); others != nil {
		work[dovecot] = func(client, i int) error { return others[client].send(msg, benchUser(client, i)) }
	}
	var n [rivals]int
	var took [rivals]time.Duration
	order := []int{ours, bare, dovecot}
	for b.Loop() {
		for _, i := range order {
			if work[i] == nil {
				continue
			}
			k, t := turn(b, n[i], work[i])
			n[i], took[i] = n[i]+k, took[i]+t
		}
		slices.Reverse(order) // what one leaves to be written slows the next
	}
	for i := range c {
		if n[i] > 0 {
			c[i] = float64(took[i]) / float64(n[i])
		}
	}
	return c
}

// turn calls do on benchClients goroutines, with numbers from from on, until the
// turn is over, and returns how often that was and what time it took.
func turn(b *testing.B, from int, do func(client, i int) error) (n int, took time.Duration) {
	var wg sync.WaitGroup
	var counts [benchClients]int
	began := time.Now()
	for client := range benchClients {
		wg.Go(func() {
			for time.Since(began) < benchTurn {
				if err := do(client, from+counts[client]); err != nil {
					b.Error(err)
					return
				}
				counts[client]++
			}
		})
	}
	wg.Wait()
	took = time.Since(began)
	for _, k := range counts {
		n += k
	}
	return n, took
}

// LMTP, always durable, over eight connections.
func BenchmarkLMTP4KB(b *testing.B)  { benchContest(b, 4<<10, ours) }
func BenchmarkLMTP50KB(b *testing.B) { benchContest(b, 50<<10, ours) }
func BenchmarkLMTP1MB(b *testing.B)  { benchContest(b, 1<<20, ours) }

// The same bytes by eight goroutines into the same directories, with both fsyncs
// and nothing else.
func BenchmarkBareWriter4KB(b *testing.B)  { benchContest(b, 4<<10, bare) }
func BenchmarkBareWriter50KB(b *testing.B) { benchContest(b, 50<<10, bare) }
func BenchmarkBareWriter1MB(b *testing.B)  { benchContest(b, 1<<20, bare) }

// Dovecot's LMTP with mail_fsync = always, the same client and as many mailboxes.
func BenchmarkDovecotLMTP4KB(b *testing.B)  { benchContest(b, 4<<10, dovecot) }
func BenchmarkDovecotLMTP50KB(b *testing.B) { benchContest(b, 50<<10, dovecot) }
func BenchmarkDovecotLMTP1MB(b *testing.B)  { benchContest(b, 1<<20, dovecot) }

// bareWrite is the least that is durable.
func bareWrite(dir, name string, msg []byte) error {
	f, err := os.OpenFile(filepath.Join(dir, "tmp", name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(msg); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "tmp", name), filepath.Join(dir, "new", name)); err != nil {
		return err
	}
	d, err := os.Open(filepath.Join(dir, "new"))
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	return d.Close()
}
