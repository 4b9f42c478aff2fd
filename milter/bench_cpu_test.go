package milter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/metric"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/state"
)

// clientVar is set in the process that plays Postfix for the CPU benchmarks:
// the address of the server and the file with what is to be said.
const clientVar = "GATEPOST_BENCH_CLIENT"

// BenchmarkMilterAuthCPU is what the process of the milter uses of the CPU for
// one signed message with SPF, DKIM, ARC and DMARC from the cache, without the
// rules: user and system time by getrusage(2), the garbage collector and the
// journal included. Postfix is another process, so that nothing has to be
// subtracted. "bare" is the guard and the library with nothing behind them: the
// price of the socket.
//
// The weights of the learned filter are in memory as in the process that ships,
// 24 MB: what lives decides how often the garbage collector runs, and in a
// process of nothing but this benchmark that would be every 30 messages, a
// quarter of the time.
func BenchmarkMilterAuthCPU(b *testing.B) {
	weights := make([]float32, 3<<21)
	defer runtime.KeepAlive(weights)
	runtime.GC()
	for _, size := range []struct {
		name string
		msg  mail
	}{{"20KB", mediumMail()}, {"36KB", averageMail()}} {
		b.Run(size.name, func(b *testing.B) {
			checker, msg := signedAuth(b, size.msg)
			addr := serveDaemon(b, Deps{Auth: wantPass{b, checker}})
			benchCPU(b, addr, msg)
		})
		b.Run(size.name+"-bare", func(b *testing.B) { benchCPU(b, serveBare(b), size.msg) })
	}
}

// mediumMail is a message of 20 KB: averageMail with half of its picture.
func mediumMail() mail {
	msg := averageMail()
	const cut = 245 * 66
	end := strings.LastIndex(msg.Body, "--b1--")
	msg.Body = msg.Body[:end-cut] + msg.Body[end:]
	return msg
}

// benchCPU lets another process send b.N messages: with b.Loop each would have
// to be ordered by itself, which costs this process about as much as a message.
func benchCPU(b *testing.B, addr string, msg mail) {
	head, envelope, content := benchPackets(msg)
	path := filepath.Join(b.TempDir(), "say")
	if err := os.WriteFile(path, []byte(strings.Join([]string{head, envelope, content}, "\x00\x00SPLIT")), 0o600); err != nil {
		b.Fatal(err)
	}
	c := startClient(b, addr, path)
	c.send(b, 200) // the cache of the DNS, the pools
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	c.send(b, b.N)
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/msg")
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// client is the process that sends.
type client struct {
	in  io.Writer
	out *bufio.Reader
}

func startClient(b *testing.B, addr, path string) client {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), clientVar+"="+addr+" "+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			b.Error(err)
		}
	})
	return client{in, bufio.NewReader(out)}
}

// send orders n messages and waits for their answers.
func (c client) send(b *testing.B, n int) {
	if _, err := fmt.Fprintln(c.in, n); err != nil {
		b.Fatal(err)
	}
	if s, err := c.out.ReadString('\n'); err != nil || s != "done\n" {
		b.Fatalf("client: %q, %v", s, err)
	}
}

// runClient is main of the process that sends.
func runClient(arg string) error {
	addr, path, _ := strings.Cut(arg, " ")
	say, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	parts := strings.Split(string(say), "\x00\x00SPLIT")
	n := 0
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		count, err := strconv.Atoi(in.Text())
		if err != nil {
			return err
		}
		for range count {
			n++
			id := fmt.Sprintf("4%06X", n)
			if err := benchSession(addr, parts[0], strings.ReplaceAll(parts[1], "QUEUEID", id), strings.ReplaceAll(parts[2], "QUEUEID", id)); err != nil {
				return fmt.Errorf("message %d: %w", n, err)
			}
		}
		fmt.Println("done")
	}
	return nil
}

// serveDaemon serves mail from strangers until the benchmark ends, with
// verdicts, journal and metrics on, and what else is in deps.
func serveDaemon(b *testing.B, deps Deps) (addr string) {
	ctx, cancel := context.WithCancel(context.Background())
	st, err := state.OpenSQLite(ctx, filepath.Join(b.TempDir(), "state.db"), quiet())
	if err != nil {
		b.Fatal(err)
	}
	j, err := journal.Open(ctx, filepath.Join(b.TempDir(), "journal.db"), journal.Default(), quiet())
	if err != nil {
		b.Fatal(err)
	}
	cfg := testConfig()
	cfg.Scan = scan.Default()
	deps.Verdicts, deps.Journal, deps.Meter = delivery.New(st), j, metric.New("bench")
	s, err := New(cfg, deps, quiet())
	if err != nil {
		b.Fatal(err)
	}
	ln := listenUnix(b)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln, scan.Inbound) }()
	b.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, j.Close(), st.Close()); err != nil {
			b.Error(err)
		}
	})
	return ln.Addr().String()
}

// serveBare serves with nothing behind the guard and the library.
func serveBare(b *testing.B) (addr string) {
	ln := listenUnix(b)
	var wg sync.WaitGroup
	b.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	cfg := Default()
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { bareServe(newGuard(c, newBuffers(), cfg.IdleTimeout.Std(), cfg.FrameTimeout.Std())) })
		}
	})
	return ln.Addr().String()
}
