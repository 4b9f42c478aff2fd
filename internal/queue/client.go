package queue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Client asks the helper on a socket. The helper is started by systemd when it
// is asked, so nothing is open between two calls. It is safe for concurrent use.
type Client struct {
	// Path is the helper's socket.
	Path string
}

// askTime bounds one request.
const askTime = runTime + 5*time.Second

// List returns what is in Postfix's queue.
func (c *Client) List(ctx context.Context) (Listing, error) {
	var out Listing
	err := c.talk(ctx, func(ask func(request) (Listing, error)) (err error) {
		out, err = ask(request{verb: List})
		return err
	})
	return out, err
}

// Do does one thing with messages and returns the ids that it was done with. One
// that is no longer in the queue is left out, and is no error. After an error
// the others were not tried.
func (c *Client) Do(ctx context.Context, verb Verb, ids []string) (done []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = c.talk(ctx, func(ask func(request) (Listing, error)) error {
		for _, id := range ids {
			_, err := ask(request{verb, id})
			switch {
			case errors.Is(err, ErrNotFound):
			case err != nil:
				return fmt.Errorf("%s %q: %w", verb, id, err)
			default:
				done = append(done, id)
			}
		}
		return nil
	})
	return done, err
}

// talk runs one connection.
func (c *Client) talk(ctx context.Context, f func(ask func(request) (Listing, error)) error) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "unix", c.Path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	in := bufio.NewReader(conn)
	return f(func(r request) (Listing, error) {
		line, err := r.append(nil)
		if err != nil {
			return Listing{}, err
		}
		if err := conn.SetDeadline(time.Now().Add(askTime)); err != nil {
			return Listing{}, fmt.Errorf("%w: %w", ErrAway, err)
		}
		if ctx.Err() != nil { // the deadline may just have been moved back
			return Listing{}, ctx.Err()
		}
		if _, err := conn.Write(line); err != nil {
			return Listing{}, fmt.Errorf("%w: %w", ErrAway, err)
		}
		answer, err := readLine(in)
		if err != nil {
			return Listing{}, fmt.Errorf("%w: %w", ErrAway, err)
		}
		return parseAnswer(answer, r.verb)
	})
}

// readLine returns a line without its end. Memory grows with what has come.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxAnswer {
			return nil, errInvalid
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
