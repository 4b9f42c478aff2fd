//go:build linux

package main

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	modernc "modernc.org/sqlite"
)

// counts is what was done since the start, as far as it was counted.
type counts struct {
	at time.Time
	// limits, bans, stream, hot and others are requests to Redis, by what is
	// behind them: the slot of all limits, that of all bans, the learn stream, the
	// key that all messages have in common, and all that is spread by its key.
	limits, bans, stream, hot, others float64

	redisBytes                   float64
	selects, changes, mariaBytes float64
	records, journalBytes        float64
	// Seconds of a processor.
	gatepost, postfix float64
}

// minus returns what was done between two looks.
func (c counts) minus(b counts) counts {
	return counts{c.at, c.limits - b.limits, c.bans - b.bans, c.stream - b.stream, c.hot - b.hot, c.others - b.others, c.redisBytes - b.redisBytes,
		c.selects - b.selects, c.changes - b.changes, c.mariaBytes - b.mariaBytes, c.records - b.records, c.journalBytes - b.journalBytes,
		c.gatepost - b.gatepost, c.postfix - b.postfix}
}

// times returns c with each figure multiplied, without its time.
func (c counts) times(f float64) counts {
	return counts{time.Time{}, c.limits * f, c.bans * f, c.stream * f, c.hot * f, c.others * f, c.redisBytes * f,
		c.selects * f, c.changes * f, c.mariaBytes * f, c.records * f, c.journalBytes * f,
		c.gatepost * f, c.postfix * f}
}

// plus adds.
func (c counts) plus(b counts) counts { return c.minus(b.times(-1)) }

// monitor counts the requests to a Redis one by one, as it tells of them: its own
// counters have those that scripts make among them.
type monitor struct {
	conn net.Conn
	done sync.WaitGroup

	mu sync.Mutex // guards n
	// n.redisBytes is what this was sent: it is none of gatepost's.
	n counts
}

func watch(addr string) (*monitor, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	m := &monitor{conn: conn}
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		return nil, err
	}
	m.done.Go(m.read)
	return m, nil
}

// close ends it. What it counted stays.
func (m *monitor) close() {
	_ = m.conn.Close()
	m.done.Wait()
}

func (m *monitor) read() {
	lines := bufio.NewReader(m.conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return // closed, or the server has ended
		}
		m.mu.Lock()
		m.n.request(line)
		m.n.redisBytes += float64(len(line))
		m.mu.Unlock()
	}
}

// request counts one line of MONITOR.
func (c *counts) request(line string) {
	_, rest, ok := strings.Cut(line, "] ")
	if !ok || strings.Contains(line, " lua] ") {
		return // made by a script
	}
	name, keys, _ := strings.Cut(rest, " ")
	switch strings.ToLower(strings.Trim(strings.TrimSpace(name), `"`)) {
	case "info", "monitor", "dbsize", "scan", "ping", "config", "client", "hello", "select", "auth":
		return // our own looks, and what opens a connection
	}
	switch {
	case strings.Contains(keys, "gp1:{l}"):
		c.limits++
	case strings.Contains(keys, "gp1:{}s:"):
		c.stream++
	case strings.Contains(keys, "sent:since\""):
		c.hot++
	case strings.HasPrefix(shelfOf(keys), "ban"):
		c.bans++
	default:
		c.others++
	}
}

// shelfOf returns what follows the first empty slot name in the keys of a request.
func shelfOf(keys string) string {
	_, rest, _ := strings.Cut(keys, "gp1:{")
	return rest
}

func (m *monitor) counts() counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}

// look takes all counters.
func (w *world) look() (counts, error) {
	c := w.monitor.counts()
	c.at = time.Now()
	info, err := w.redis.Info(context.Background(), "stats").Result()
	if err != nil {
		return c, err
	}
	c.redisBytes = numberOf(info, "total_net_input_bytes:") + numberOf(info, "total_net_output_bytes:") - c.redisBytes
	if err := w.lookMaria(&c); err != nil {
		return c, err
	}
	if err := lookJournal(&c); err != nil {
		return c, err
	}
	c.gatepost = secondsOf(w.lab.GatepostPID())
	c.postfix = postfixSeconds()
	return c, nil
}

// numberOf returns the number after name at the begin of a line, or 0.
func numberOf(text, name string) float64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err == nil {
				return f
			}
		}
	}
	return 0
}

func (w *world) lookMaria(c *counts) error {
	rows, err := w.maria.db.Query("SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Com_select', 'Bytes_received', 'Bytes_sent')")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	w.looks++
	var questions float64
	for rows.Next() {
		var name string
		var v float64
		if err := rows.Scan(&name, &v); err != nil {
			return err
		}
		switch name {
		case "Questions":
			questions = v
		case "Com_select":
			c.selects = v
		default:
			c.mariaBytes += v
		}
	}
	c.changes = questions - c.selects - float64(w.looks)
	c.mariaBytes -= float64(w.looks) * lookBytes
	return rows.Err()
}

// lookBytes is what one SHOW GLOBAL STATUS takes on the wire.
const lookBytes = 480

// lookJournal asks the file itself: it is there for that.
func lookJournal(c *counts) error {
	db := sql.OpenDB(reader{"file:/var/lib/gatepost/journal.db?mode=ro&_pragma=busy_timeout(2000)"})
	defer func() { _ = db.Close() }()
	var pages, size float64
	return errors.Join(
		db.QueryRow("SELECT count(*) FROM records").Scan(&c.records),
		db.QueryRow("PRAGMA page_count").Scan(&pages),
		db.QueryRow("PRAGMA page_size").Scan(&size),
		func() error { c.journalBytes = pages * size; return nil }(),
	)
}

// reader opens an SQLite file.
type reader struct{ dsn string }

// Connect implements driver.Connector.
func (r reader) Connect(context.Context) (driver.Conn, error) { return (&modernc.Driver{}).Open(r.dsn) }

// Driver implements driver.Connector.
func (r reader) Driver() driver.Driver { return &modernc.Driver{} }

// ticks is the kernel's unit of processor time, USER_HZ.
const ticks = 100

// secondsOf returns what a process has used of the processors, with its children
// that have ended.
func secondsOf(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	var sum float64
	for i, f := range strings.Fields(rest) {
		if i >= 11 && i <= 14 { // utime, stime, cutime, cstime: proc(5)
			v, err := strconv.ParseFloat(f, 64)
			if err != nil {
				return 0
			}
			sum += v
		}
	}
	return sum / ticks
}

// postfixSeconds is what master and all its children have used.
func postfixSeconds() (sum float64) {
	names, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return 0
	}
	for _, name := range names {
		exe, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(exe, "/usr/lib/postfix/") {
			continue // it has ended, and is in master's figure
		}
		if pid, err := strconv.Atoi(strings.Split(name, "/")[2]); err == nil {
			sum += secondsOf(pid)
		}
	}
	return sum
}
