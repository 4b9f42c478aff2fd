package lmtpd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// conn stands between go-smtp and a client. It hands the library one command
// line at a time and keeps message content to itself (readMessage); what the
// library sees of a message is its last line. It sets every deadline, bounds
// every line, and ends a connection that is between two transactions when the
// server stops.
//
// Reading, and what only readers touch, belongs to one goroutine at a time: that
// which handles commands, or while it waits for statuses, that of LMTPData.
// Only the former writes.
type conn struct {
	net.Conn
	snap   func() *snapshot
	ctx    context.Context // of the server, for callbacks that bring none
	cancel context.CancelFunc
	ended  func()
	once   sync.Once

	in *bufio.Reader
	// gather makes few writes of many lines that begin with a dot; larger pieces
	// it lets through.
	gather *bufio.Writer
	// rest is what the library has not yet read of a line.
	rest []byte
	// pieces is, within a message, when each read has to be over at the latest;
	// dataTimeout bounds each.
	pieces      time.Time
	dataTimeout time.Duration
	// out are replies that wait to be sent together: a client that pipelines
	// gets one packet for a group of commands (RFC 2920 §3.2).
	out []byte
	// inData says that a message is being taken or answered: then each reply is
	// sent at once.
	inData bool
	// broken says that the next bytes are no command: the connection is over.
	broken bool

	mu       sync.Mutex // guards inHand and stopping
	inHand   bool       // a transaction is open
	stopping bool
}

var errStopping = errors.New("server is stopping")

// stopText is the last line of a connection that the server ends (RFC 5321
// §3.8).
const stopText = "421 4.3.2 service is stopping, please come back\r\n"

func newConn(ctx context.Context, c net.Conn, snap func() *snapshot, ended func()) *conn {
	ctx, cancel := context.WithCancel(ctx)
	k := &conn{Conn: c, snap: snap, ctx: ctx, cancel: cancel, ended: ended}
	k.gather = bufio.NewWriterSize(nil, 4<<10)
	k.in = bufio.NewReaderSize(pieceReader{k}, 64<<10)
	return k
}

// pieceReader reads from the client, within a message with a deadline for each
// piece.
type pieceReader struct{ c *conn }

func (r pieceReader) Read(p []byte) (int, error) {
	c := r.c
	if !c.pieces.IsZero() {
		end := time.Now().Add(c.dataTimeout)
		if end.After(c.pieces) {
			end = c.pieces
		}
		if err := c.Conn.SetReadDeadline(end); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

// Read gives the library the next command line, or a piece of it.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		line, err := c.command()
		if err != nil {
			return 0, err
		}
		c.rest = line
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// command reads one command line.
func (c *conn) command() ([]byte, error) {
	if c.broken {
		return nil, io.EOF
	}
	err := c.arm()
	if err == nil && c.in.Buffered() == 0 {
		err = c.flush()
	}
	if err == nil {
		var line []byte
		line, err = c.in.ReadSlice('\n')
		if err == nil && len(line) <= maxCommandBytes {
			return command(line), nil
		}
	}
	c.broken = true
	switch {
	case err == nil || errors.Is(err, bufio.ErrBufferFull):
		return nil, smtp.ErrTooLongLine
	case c.arm() == errStopping:
		_, _ = c.Write([]byte(stopText))
		return nil, io.EOF
	}
	return nil, err
}

// arm sets the deadline for one command.
func (c *conn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping && !c.inHand {
		return errStopping
	}
	return c.Conn.SetReadDeadline(time.Now().Add(c.snap().cfg.IdleTimeout.Std()))
}

// readMessage copies the message that follows to w; see copyData for the
// errors. After it the library finds the end of the message.
func (c *conn) readMessage(w io.Writer, cfg Config) (readErr, writeErr error) {
	c.dataTimeout = cfg.DataTimeout.Std()
	c.pieces = time.Now().Add(cfg.MessageTimeout.Std())
	if err := c.flush(); err != nil {
		return err, nil
	}
	c.inData = true
	c.broken = true // until the end has been found, also if a panic ends this
	_, readErr, writeErr = copyData(w, c.in, int64(cfg.MessageSizeLimit))
	c.pieces = time.Time{}
	if readErr == nil {
		c.broken, c.rest = false, []byte(dataEnd)
	}
	return readErr, writeErr
}

// Write takes one line of a reply: the library flushes each.
func (c *conn) Write(p []byte) (int, error) {
	c.out = append(c.out, replyLine(string(p), int64(c.snap().cfg.MessageSizeLimit))...)
	if c.inData || len(c.out) > maxCommandBytes {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// flush sends the replies that wait.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.snap().cfg.DataTimeout.Std())); err != nil {
		return err
	}
	_, err := c.Conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// Close sends what waits and ends the connection. The library calls it when it
// is done; a second call does nothing.
func (c *conn) Close() error {
	var err error
	c.once.Do(func() {
		err = errors.Join(c.flush(), c.Conn.Close())
		c.cancel()
		c.ended()
	})
	return err
}

// abort ends the connection under the library's feet.
func (c *conn) abort() {
	c.cancel()
	_ = c.Conn.Close()
}

// transaction says whether one is in hand. No message is being taken then.
func (c *conn) transaction(inHand bool) {
	c.inData = false
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inHand = inHand
}

// stop ends the connection once no transaction is in hand.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if !c.inHand {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	}
}
