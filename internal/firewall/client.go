package firewall

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// askTime bounds one request, the load of MaxBans networks too.
const askTime = 30 * time.Second

// Client asks the helper on a socket. It stays connected, so that the helper
// knows that somebody cares for the table. It is safe for concurrent use; one
// request is under way at a time.
type Client struct {
	path string

	mu sync.Mutex
	// conn and in are guarded by mu; nil without a connection.
	conn net.Conn
	in   *bufio.Reader
}

// NewClient returns a Client for the helper's socket at path. It does not
// connect yet.
func NewClient(path string) *Client { return &Client{path: path} }

// Close ends the connection. The bans stay. The Client can be used again.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.close()
}

func (c *Client) close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn, c.in = nil, nil
	return err
}

// Sync makes the firewall hold these bans and no others, in one transaction. Of
// more than MaxBans, those stay that last longest. A ban that the firewall does
// not take (CheckNetwork, no known service, over) is left out and counted.
func (c *Client) Sync(ctx context.Context, all []Ban) (left int, err error) {
	var take []Ban
	for _, b := range all {
		if b, err := clean(b); err == nil {
			take = append(take, b)
		}
	}
	if len(take) > MaxBans {
		slices.SortFunc(take, func(a, b Ban) int { return int(b.Left/time.Second) - int(a.Left/time.Second) })
		take = take[:MaxBans]
	}
	out, err := appendRequest(nil, request{verb: verbSync, count: len(take)})
	for _, b := range take {
		if err == nil {
			out, err = appendBan(out, b)
		}
	}
	if err != nil {
		return 0, err
	}
	_, err = c.ask(ctx, out, false)
	return len(all) - len(take), err
}

// clean returns b as the wire takes it: services sorted, unknown ones (port 25)
// left out.
func clean(b Ban) (Ban, error) {
	if err := CheckNetwork(b.Network); err != nil {
		return b, err
	}
	known := b.Services
	b.Services = nil
	for _, s := range Services() {
		if slices.Contains(known, s) {
			b.Services = append(b.Services, s)
		}
	}
	if len(b.Services) == 0 {
		return b, ErrNoService
	}
	if b.Left < time.Second {
		b.Left = time.Second
	}
	b.Left = min(b.Left, maxSeconds*time.Second)
	return b, nil
}

// Ban closes services to a network. It holds when Ban returns without an error.
// ErrNetwork and ErrNoService are not worth another try.
func (c *Client) Ban(ctx context.Context, b Ban) error {
	b, err := clean(b)
	if err != nil {
		return err
	}
	return c.do(ctx, request{verb: verbBan, ban: b})
}

// Lift opens all services to exactly that network. That it was not banned is no
// error.
func (c *Client) Lift(ctx context.Context, p netip.Prefix) error {
	if err := CheckNetwork(p); err != nil {
		return err
	}
	return c.do(ctx, request{verb: verbLift, ban: Ban{Network: p}})
}

// Off removes the table.
func (c *Client) Off(ctx context.Context) error { return c.do(ctx, request{verb: verbOff}) }

// List returns what the kernel holds.
func (c *Client) List(ctx context.Context) ([]Range, error) {
	out, err := appendRequest(nil, request{verb: verbList})
	if err != nil {
		return nil, err
	}
	return c.ask(ctx, out, true)
}

func (c *Client) do(ctx context.Context, r request) error {
	out, err := appendRequest(nil, r)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, out, false)
	return err
}

// ask sends a request and reads its answer. After a fault of the connection the
// next request makes a new one.
func (c *Client) ask(ctx context.Context, out []byte, list bool) (ranges []Range, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		d := net.Dialer{Timeout: 5 * time.Second}
		if c.conn, err = d.DialContext(ctx, "unix", c.path); err != nil {
			c.conn = nil
			return nil, fmt.Errorf("%w: %w", ErrAway, err)
		}
		c.in = bufio.NewReaderSize(c.conn, maxLine)
	}
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	ranges, err = c.talk(ctx, out, list)
	if !stop() || err != nil && !errors.Is(err, ErrRefused) {
		_ = c.close()
	}
	return ranges, err
}

func (c *Client) talk(ctx context.Context, out []byte, list bool) ([]Range, error) {
	if err := c.conn.SetDeadline(time.Now().Add(askTime)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	if ctx.Err() != nil { // the deadline may just have been moved back
		return nil, ctx.Err()
	}
	// A helper that refuses a sync half-way answers before all is written.
	_, writeErr := c.conn.Write(out)
	line, err := readLine(c.in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, errors.Join(writeErr, err))
	}
	n, err := parseAnswer(line, list)
	if err != nil {
		return nil, err
	}
	var ranges []Range
	for range n {
		line, err := readLine(c.in)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAway, err)
		}
		r, err := parseRange(line)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}
