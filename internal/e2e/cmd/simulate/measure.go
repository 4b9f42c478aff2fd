//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/e2e/lab"
	"github.com/gatepost/gatepost/internal/password"
)

const (
	redisPort, scratchPort = 6379, 6380
	// settleTime is more than what is written behind takes.
	settleTime = 1500 * time.Millisecond
	// idleTime is how long it is looked at what a host asks of itself.
	idleTime = 6 * time.Second
)

// world is the lab with its stores.
type world struct {
	lab     *lab.Lab
	redis   *goredis.Client
	maria   *maria
	monitor *monitor
	looks   int // at MariaDB's own counters
	// other was done while a kind was measured and is none of it.
	other     counts
	otherTime time.Duration
}

// measured is what the model works with.
type measured struct {
	Each int
	// Kinds has what one of each costs, Idle what a host asks in a second.
	Kinds [numKinds]counts
	Idle  counts
	// Rows has what lies in Redis for one of each kind, by table.
	Rows [numKinds]map[string]float64
	// Life is how long a row of a table lies there at most, RowBytes what it takes.
	Life     map[string]time.Duration
	RowBytes map[string]float64
	// Ceilings of this machine, a second.
	TakeAll, SetGet, Select float64
	Machine                 string
}

// measure does each kind of work and looks at what it asked of the stores.
func measure(n int) (m *measured, err error) {
	w := &world{}
	fmt.Fprintln(os.Stderr, "simulate: start Postfix, MariaDB and Redis")
	stop, err := w.start()
	defer func() {
		if err != nil && w.lab != nil {
			err = fmt.Errorf("%w\n%s", err, w.lab.Tails(15))
		}
		err = errors.Join(err, stop())
	}()
	if err != nil {
		return nil, err
	}
	m = &measured{Each: n, Machine: machine(), Life: map[string]time.Duration{}}
	if err := w.idle(m); err != nil {
		return nil, err
	}
	for k := range kinds {
		if err := w.kind(m, k, n); err != nil {
			return nil, fmt.Errorf("%s: %w", kinds[k].name, err)
		}
	}
	return m, w.limits(m)
}

// machine says where the figures come from.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name\t: "); ok {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	return fmt.Sprintf("%d CPUs (%s), %s", runtime.NumCPU(), model, time.Now().UTC().Format(time.DateOnly))
}

// start starts everything. What it returns ends it, also after an error.
func (w *world) start() (stop func() error, err error) {
	stop = func() error { return nil }
	if w.lab, err = lab.Start(lab.Options{}); err != nil {
		return stop, err
	}
	var s *server
	stop = func() error {
		err := w.lab.Stop()
		if w.monitor != nil {
			w.monitor.close()
		}
		s.stop()
		if w.maria != nil {
			w.maria.stop()
		}
		return err
	}
	if s, w.redis, err = redisAt(filepath.Join(w.lab.Dir, "redis"), redisPort); err != nil {
		return stop, err
	}
	if w.monitor, err = watch(w.redis.Options().Addr); err != nil {
		return stop, err
	}
	if w.maria, err = startMaria(filepath.Join(w.lab.Dir, "maria")); err != nil {
		return stop, err
	}
	return stop, w.fill()
}

// fill makes the accounts and points gatepost at both stores.
func (w *world) fill() error {
	hash, err := password.Hash(password.BLFCrypt, []byte(userPassword))
	if err != nil {
		return err
	}
	var sql strings.Builder
	sql.WriteString(guideTables)
	fmt.Fprintf(&sql, "INSERT INTO mail.domains (name) VALUES ('%s');\nINSERT INTO mail.users (domain_id, password, email) VALUES ", lab.Domain)
	for i := range maxUsers {
		if i > 0 {
			sql.WriteString(", ")
		}
		fmt.Fprintf(&sql, "(1, '%s', '%s')", hash.Reveal(), mailbox(i))
	}
	if _, err := w.maria.db.Exec(sql.String()); err != nil {
		return err
	}
	secret := filepath.Join(w.lab.Dir, "mysql.password")
	if err := os.WriteFile(secret, []byte("gatepost\n"), 0o644); err != nil {
		return err
	}
	if err := w.lab.StopGatepost(); err != nil {
		return err
	}
	config := fmt.Sprintf("mysql: { hosts: [ \"inet:127.0.0.1:3306\" ], user: gatepost, password_file: %s, dbname: mail, own_dbname: gatepost, schema: guide }\nredis: { addresses: [ %q ] }\n",
		secret, w.redis.Options().Addr)
	if err := w.lab.WriteConfig(config); err != nil {
		return err
	}
	return w.lab.StartGatepost()
}

// idle looks at what a host asks when nothing happens.
func (w *world) idle(m *measured) error {
	time.Sleep(settleTime)
	before, err := w.look()
	if err != nil {
		return err
	}
	time.Sleep(idleTime)
	after, err := w.look()
	if err != nil {
		return err
	}
	m.Idle = after.minus(before).times(1 / after.at.Sub(before.at).Seconds())
	return nil
}

// kind measures one.
func (w *world) kind(m *measured, k, n int) error {
	fmt.Fprintf(os.Stderr, "simulate: %s\n", kinds[k].name)
	if k == kindLearn {
		n = 20 // each is a command
	}
	w.other, w.otherTime = counts{}, 0
	rows, err := w.rows()
	if err != nil {
		return err
	}
	before, err := w.look()
	if err != nil {
		return err
	}
	if err := kinds[k].do(w, n); err != nil {
		return err
	}
	err = w.lab.Until("empty queues", func() error {
		if out, err := w.lab.Postfix("postqueue", "-p"); err != nil || !strings.Contains(out, "is empty") {
			return fmt.Errorf("%s, %w", out, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	time.Sleep(settleTime)
	after, err := w.look()
	if err != nil {
		return err
	}
	took := (after.at.Sub(before.at) - w.otherTime).Seconds()
	m.Kinds[k] = after.minus(before).minus(w.other).minus(m.Idle.times(took)).times(1 / float64(n))
	return w.newRows(m, k, n, rows)
}

// rows returns the keys in Redis.
func (w *world) rows() (map[string]bool, error) {
	keys := map[string]bool{}
	ctx := context.Background()
	it := w.redis.Scan(ctx, 0, "gp1:*", 1000).Iterator()
	for it.Next(ctx) {
		keys[it.Val()] = true
	}
	return keys, it.Err()
}

// newRows counts the keys that came, by table, and looks how long they last.
func (w *world) newRows(m *measured, k, n int, before map[string]bool) error {
	after, err := w.rows()
	if err != nil {
		return err
	}
	m.Rows[k] = map[string]float64{}
	for key := range after {
		if before[key] {
			continue
		}
		t, err := w.tableOf(key)
		if err != nil {
			return err
		}
		if t == "" {
			continue
		}
		m.Rows[k][t] += 1 / float64(n)
		left, err := w.redis.PTTL(context.Background(), key).Result()
		if err != nil {
			return err
		}
		m.Life[t] = max(m.Life[t], left)
	}
	return nil
}

// The parts of the table sent.
const (
	messageIDs = "sent: Message-IDs"
	pairs      = "sent: to whom"
	queueIDs   = "sent: queue"
	habits     = "sent: habits"
)

// tableOf names what a key of Redis is: a table or a part of one, "counter",
// "stream", or "" for a key that there is once.
func (w *world) tableOf(key string) (string, error) {
	if strings.HasSuffix(key, ":since") || strings.HasSuffix(key, "//sources") {
		return "", nil
	}
	_, rest, _ := strings.Cut(key, "}")
	kind, rest, _ := strings.Cut(rest, ":")
	switch kind {
	case "c":
		return "counter", nil
	case "s":
		return "stream", nil
	case "e", "g":
		t, name, _ := strings.Cut(rest, ":")
		if t == "sent" {
			return w.partOfSent(key, name)
		}
		return t, nil
	}
	return "", nil
}

// partOfSent tells the rows of that table apart, which live for different times.
func (w *world) partOfSent(key, name string) (string, error) {
	switch before, _, _ := strings.Cut(name, "/"); before {
	case "habit":
		return habits, nil
	case "mid", "qid":
		return queueIDs, nil
	}
	size, err := w.redis.StrLen(context.Background(), key).Result()
	if err == nil && size > rowHead {
		return messageIDs, nil
	}
	return pairs, err // a pair has no value
}

// rowHead is what goes before a value in Redis: its end.
const rowHead = 8
