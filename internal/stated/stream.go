package stated

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Times of a stream.
const (
	beatEvery    = 5 * time.Second
	silentAtMost = 3 * beatEvery
	writeTime    = 10 * time.Second
	versionEvery = 20 * time.Millisecond
	firstPause   = 20 * time.Millisecond
)

var errStreams = errors.New("too many streams of one user")

// watch is the stream of what changes: GET /v1/watch?table=ban&accounts=true.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	p, q := peerOf(r), r.URL.Query()
	var tables []state.Table
	for _, t := range q["table"] {
		if !p.reads(state.Table(t)) {
			answer(w, nil, p.noTable(state.Table(t)))
			return
		}
		tables = append(tables, state.Table(t))
	}
	accounts := q.Get("accounts") == "true"
	if err := p.need(rightNames); accounts && err != nil {
		answer(w, nil, err)
		return
	}
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		answer(w, nil, errStreams)
		return
	}
	sub, end, err := s.parts.State.subscribe(p.name, tables)
	if err != nil {
		answer(w, nil, err)
		return
	}
	defer end()
	out := &stream{w: w, c: http.NewResponseController(w)}
	_ = out.c.SetReadDeadline(time.Time{}) // it lasts
	if out.send(event{Build: s.parts.Build}) != nil {
		return
	}
	s.pump(r.Context(), out, sub, accounts)
}

// stream writes lines that arrive at once.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (o *stream) send(e event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := o.c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	if _, err := o.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return o.c.Flush()
}

// pump writes what changes until the peer goes or the server ends.
func (s *Server) pump(ctx context.Context, out *stream, sub *subscription, accounts bool) {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	var poll <-chan time.Time
	var version uint64
	if accounts {
		t := time.NewTicker(versionEvery)
		defer t.Stop()
		poll, version = t.C, s.parts.Accounts.Version()
	}
	for {
		var e event
		select {
		case <-ctx.Done():
			return
		case <-s.stopped:
			return
		case <-beat.C:
		case <-sub.lost:
			sub.drain()
			e.Missed = true
		case c := <-sub.changes:
			kept := entryOf(c.Entry)
			e = event{Table: c.Table, Entry: &kept, Deleted: c.Deleted}
		case <-poll:
			now := s.parts.Accounts.Version()
			if now == version {
				continue
			}
			version, e.Version = now, now
		}
		if out.send(e) != nil {
			return
		}
	}
}

// follow reads the stream and begins anew when it ends, until ctx does. ended is
// called each time that it does, if it is not nil.
func (c *Client) follow(ctx context.Context, tables []state.Table, accounts bool, each func(event), ended func()) error {
	pause := firstPause
	for {
		began := time.Now()
		err := c.stream(ctx, tables, accounts, each)
		if ended != nil {
			ended()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrForbidden), errors.Is(err, state.ErrInvalid):
			return err
		case time.Since(began) > time.Second:
			pause = firstPause // it was well
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, waitAtMost/4)
	}
}

// compare tells the log once of another version at the other end: it may refuse
// what we ask.
func (c *Client) compare(ctx context.Context, build string) {
	if build != "" && build != c.build && c.other.Swap(build) != build {
		c.log.LogAttrs(ctx, slog.LevelWarn, "the state process is of another version: restart what is older",
			slog.String("version", c.build), slog.String("other", build))
	}
}

// stream reads one stream to its end.
func (c *Client) stream(ctx context.Context, tables []state.Table, accounts bool, each func(event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(silentAtMost, cancel)
	defer silent.Stop()
	q := url.Values{}
	for _, t := range tables {
		q.Add("table", string(t))
	}
	if accounts {
		q.Set("accounts", "true")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://state/v1/watch?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Client", c.name)
	res, err := c.http.Do(req)
	if err != nil {
		return c.failed("watch", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return c.answer("watch", res, nil)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	for lines.Scan() {
		silent.Reset(silentAtMost)
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil { // a newer one may say more
			return fmt.Errorf("read watch: %w", err)
		}
		c.compare(ctx, e.Build)
		each(e)
	}
	return lines.Err()
}
