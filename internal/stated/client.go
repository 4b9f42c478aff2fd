package stated

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of a client.
const (
	callTime   = 5 * time.Second
	maxPooled  = 64
	waitAtMost = time.Second
	// hungTime is how long nobody asks a process that did not answer within
	// callTime: one message asks it several times.
	hungTime = time.Second
	// silentProbes is how many probes in a row find no answer before nobody asks.
	silentProbes = 2
)

// ErrAway means that nothing answers on the socket. It is transient.
var ErrAway = errors.New("the state process does not answer")

// Client asks the process that has the state. It is safe for concurrent use.
type Client struct {
	path  string
	build string
	name  string
	http  *http.Client
	log   *slog.Logger

	state    *State
	accounts *Accounts
	tellers  []*teller
	journal  *Journal
	events   *Events
	closed   atomic.Bool
	hung     atomic.Int64 // until when, in Unix nanoseconds; 0 is not
	silent   atomic.Int32 // probes in a row without an answer
	other    atomic.Value // the build of which the log was told, a string
}

// Dial returns a Client of the socket at path, for a process of the version build.
// It does not connect.
func Dial(path, build string, log *slog.Logger) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	c := &Client{path: path, build: build, name: rand.Text(), log: log, http: &http.Client{Transport: &http.Transport{
		DialContext: dial, MaxIdleConnsPerHost: maxPooled, MaxConnsPerHost: maxPooled, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}}
	c.state, c.accounts = &State{c: c}, newAccounts(c)
	records, events := newTeller(c, "records"), newTeller(c, "events")
	c.tellers = []*teller{records, events}
	c.journal, c.events = &Journal{records}, &Events{events}
	return c
}

// State returns the state of the other process.
func (c *Client) State() *State { return c.state }

// Accounts returns its accounts.
func (c *Client) Accounts() *Accounts { return c.accounts }

// Journal returns its journal.
func (c *Client) Journal() *Journal { return c.journal }

// Events returns where it takes what is told and not answered.
func (c *Client) Events() *Events { return c.events }

// Wait returns as soon as the other process answers, or when ctx ends. It tells
// the log once that it waits.
func (c *Client) Wait(ctx context.Context) error {
	told := false
	for {
		err := c.Ping(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrForbidden) {
			return err
		}
		if !told {
			told = true
			c.log.LogAttrs(ctx, slog.LevelWarn, "waiting for the state process", slog.String("socket", c.path), slog.Any("err", err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waitAtMost / 4):
		}
	}
}

// Ping returns nil if the other process answers.
func (c *Client) Ping(ctx context.Context) error {
	return c.ask(ctx, question{name: "ping", again: true, in: struct{}{}}, nil)
}

// Close ends the connections, after what waits in the queues was sent or a few
// seconds have passed; the log says what was lost.
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	for _, t := range c.tellers {
		if err := t.close(ctx); err != nil {
			n, _ := t.queued()
			c.log.LogAttrs(ctx, slog.LevelWarn, "the state process was not told all",
				slog.String("what", t.what), slog.Int("count", n), slog.Any("err", err))
		}
	}
	c.http.CloseIdleConnections()
	return nil
}

// question is one call.
type question struct {
	name string
	in   any
	// body is sent instead of in.
	body io.Reader
	// again says that asking twice does no harm, so that a connection that broke
	// is nobody's trouble.
	again bool
	// probe says that it is asked to find out whether somebody answers.
	probe bool
	// within is the time limit, callTime if 0.
	within time.Duration
}

// ask sends a question and decodes the answer into out, which may be nil.
func (c *Client) ask(ctx context.Context, q question, out any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.within == 0 {
		q.within = callTime
	}
	if until := c.hung.Load(); until > time.Now().UnixNano() || !q.probe && c.silent.Load() >= silentProbes {
		return fmt.Errorf("%w on %s, as a moment ago", ErrAway, c.path)
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, q.within)
	defer cancel()
	body := q.body
	if body == nil {
		b, err := json.Marshal(q.in)
		if err != nil {
			return fmt.Errorf("%w: %w", errRequest, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://state/v1/"+q.name, body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", q.name, err)
	}
	req.Header.Set("X-Client", c.name)
	if q.again {
		req.Header["Idempotency-Key"] = nil // lets net/http ask on a new connection; it is not sent
	}
	res, err := c.http.Do(req)
	if err != nil {
		if q.within >= callTime && ctx.Err() != nil && outer.Err() == nil {
			c.hung.Store(time.Now().Add(hungTime).UnixNano())
		}
		return c.failed(q.name, err)
	}
	defer res.Body.Close()
	if c.hung.Load() != 0 {
		c.hung.Store(0)
	}
	return c.answer(q.name, res, out)
}

// answer reads one.
func (c *Client) answer(name string, res *http.Response, out any) error {
	if res.StatusCode != http.StatusOK {
		var f fault
		if err := json.NewDecoder(io.LimitReader(res.Body, maxBody)).Decode(&f); err != nil || f.Text == "" {
			return fmt.Errorf("ask %s: the state process answered %s", name, res.Status)
		}
		return f.error()
	}
	if out == nil {
		_, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxBody)) // so that the connection is used again
		return err
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read answer to %s: %w", name, err)
	}
	_, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxBody))
	return err
}

// failed is the error of a connection.
func (c *Client) failed(name string, err error) error {
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w on %s", ErrAway, c.path)
	}
	var u *url.Error // says "Post" and our own made-up address
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("ask %s of %s: %w", name, c.path, err)
}
