//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/redis"
)

const (
	// filled is how many rows of a table are put to see what one takes.
	filled = 20_000
	// asking is how many connections ask at once for a ceiling.
	asking = 16
	// ceilingTime is for how long.
	ceilingTime = 3 * time.Second
)

// limits measures what a row takes, and how many requests a server answers.
func (w *world) limits(m *measured) error {
	fmt.Fprintln(os.Stderr, "simulate: rows and ceilings")
	s, c, err := redisAt(filepath.Join(w.lab.Dir, "scratch"), scratchPort)
	if err != nil {
		return err
	}
	defer s.stop()
	cfg := redis.Default()
	cfg.Addresses = []string{c.Options().Addr}
	store, err := redis.Open(context.Background(), cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	if err := w.rowBytes(m, store, c); err != nil {
		return err
	}
	if m.TakeAll, err = answered(func(i int) error {
		_, err := store.TakeAll(context.Background(), claims(i), false)
		return err
	}); err != nil {
		return err
	}
	if m.SetGet, err = benchmark(c.Options().Addr); err != nil {
		return err
	}
	m.Select, err = w.selects()
	return err
}

// claims is what two limits of a user count, in one request.
func claims(i int) []state.Claim {
	return []state.Claim{
		{Key: fmt.Sprintf("limit/outgoing/1h0m0s/user:%s", mailbox(i%10_000)), N: 1, Max: state.MaxCount, Window: time.Hour, Soft: true},
		{Key: fmt.Sprintf("limit/daily/24h0m0s/user:%s", mailbox(i%10_000)), N: 1, Max: state.MaxCount, Window: 24 * time.Hour, Soft: true},
	}
}

// rowBytes puts many rows like those that the lab has left, and looks how much
// memory Redis then has.
func (w *world) rowBytes(m *measured, store *redis.Store, c *goredis.Client) error {
	m.RowBytes = map[string]float64{}
	for table := range m.Life {
		var put func(i int) error
		switch table {
		case "counter":
			put = func(i int) error { _, err := store.TakeAll(context.Background(), claims(i)[:1], false); return err }
		case "stream":
			if err := w.streamBytes(m); err != nil {
				return err
			}
			continue
		default:
			key, value, err := w.usual(table)
			if err != nil {
				return err
			}
			name, _, _ := strings.Cut(table, ":")
			in := state.Table(name)
			put = func(i int) error {
				e := state.Entry{Key: numbered(key, i), Value: value, Expires: time.Now().Add(24 * time.Hour)}
				return store.Put(context.Background(), in, e, false)
			}
		}
		before, err := used(c)
		if err != nil {
			return err
		}
		if err := fill(put); err != nil {
			return fmt.Errorf("fill %s: %w", table, err)
		}
		after, err := used(c)
		if err != nil {
			return err
		}
		n := float64(filled)
		if table == "counter" {
			n = min(n, 10_000) // as many users as claims knows
		}
		m.RowBytes[table] = (after - before) / n
		if err := c.FlushAll(context.Background()).Err(); err != nil {
			return err
		}
	}
	return nil
}

// fill puts rows, some at once.
func fill(put func(i int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, asking)
	for range asking {
		all.Go(func() {
			for i := int(next.Add(1)); i <= filled; i = int(next.Add(1)) {
				if err := put(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

func used(c *goredis.Client) (float64, error) {
	info, err := c.Info(context.Background(), "memory").Result()
	return numberOf(info, "used_memory:"), err
}

// usual returns a key of a table as the lab left one, and a value of the same
// size.
func (w *world) usual(table string) (key string, value []byte, err error) {
	ctx := context.Background()
	all, err := w.rows()
	if err != nil {
		return "", nil, err
	}
	for name := range all {
		if t, err := w.tableOf(name); err != nil || t != table {
			continue
		}
		_, rest, _ := strings.Cut(name, "}")
		_, key, _ = strings.Cut(rest[2:], ":")
		size, err := w.redis.StrLen(ctx, name).Result()
		if err == nil && size > 0 {
			return key, make([]byte, max(size-rowHead, 0)), nil
		}
		fields, err := w.redis.HGetAll(ctx, name).Result()
		if err != nil {
			return "", nil, err
		}
		for field, v := range fields {
			return key + "/" + field, make([]byte, max(len(v)-2*rowHead, 0)), nil
		}
	}
	return "", nil, errors.New("the lab has left no row of " + table)
}

// numbered returns key with a number in the place of as many of its bytes.
func numbered(key string, i int) string {
	n := fmt.Sprintf("%07d", i)
	if len(key) < len(n) {
		return n
	}
	return n + key[len(n):]
}

// streamBytes is what an event of the learn stream takes.
func (w *world) streamBytes(m *measured) error {
	all, err := w.rows()
	if err != nil {
		return err
	}
	for name := range all {
		if t, err := w.tableOf(name); err == nil && t == "stream" {
			n, err1 := w.redis.XLen(context.Background(), name).Result()
			size, err2 := w.redis.MemoryUsage(context.Background(), name, 0).Result()
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			m.RowBytes["stream"] = float64(size) / float64(max(n, 1))
		}
	}
	return nil
}

// answered returns how often do returns in a second, of some at once.
func answered(do func(i int) error) (float64, error) {
	var next, done atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, asking)
	began := time.Now()
	for range asking {
		all.Go(func() {
			for time.Since(began) < ceilingTime {
				if err := do(int(next.Add(1))); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	close(errs)
	return float64(done.Load()) / time.Since(began).Seconds(), <-errs
}

// benchmark is what redis-benchmark gets of the same server, half SET, half GET.
func benchmark(addr string) (float64, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	out, err := exec.Command("redis-benchmark", "-h", "127.0.0.1", "-p", port, "-c", strconv.Itoa(asking),
		"-n", "60000", "-r", "100000", "-d", "100", "-t", "set,get", "--csv").Output()
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark: %w", err)
	}
	var each float64
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(line, `","`)
		if len(fields) < 2 || fields[1] == "rps" {
			continue
		}
		rate, err := strconv.ParseFloat(strings.Trim(fields[1], `"`), 64)
		if err != nil || rate <= 0 {
			return 0, fmt.Errorf("redis-benchmark says %q", line)
		}
		each += 1 / rate / 2
	}
	return 1 / each, nil
}

// selects is how many users MariaDB finds in a second.
func (w *world) selects() (float64, error) {
	w.maria.db.SetMaxIdleConns(asking)
	return answered(func(i int) error {
		var hash string
		err := w.maria.db.QueryRow("SELECT password FROM mail.users WHERE email = ?", mailbox(i%maxUsers)).Scan(&hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
}
