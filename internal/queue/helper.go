package queue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/listen"
)

const (
	postqueue = "/usr/sbin/postqueue"
	postsuper = "/usr/sbin/postsuper"

	// runTime bounds one command, lineTime the wait for a line.
	runTime  = 60 * time.Second
	lineTime = 30 * time.Second
	// maxConns are served at a time, the others wait.
	maxConns = 2
	// maxTalk bounds what postsuper says.
	maxTalk = 16 << 10
)

// Helper runs Postfix's commands for one user.
type Helper struct {
	uid  int
	args []string
	log  *slog.Logger
	run  func(ctx context.Context, name string, arg ...string) (stdout io.Reader, stderr string, err error)
	busy atomic.Int64
	last atomic.Int64 // when a connection ended, Unix nanoseconds
}

// NewHelper returns a Helper that answers uid only. postfix is Postfix's
// config_directory, "" for the default one.
func NewHelper(uid int, postfix string, log *slog.Logger) *Helper {
	h := &Helper{uid: uid, log: log, run: command}
	if postfix != "" {
		h.args = []string{"-c", postfix}
	}
	return h
}

// command runs one of Postfix's commands with an empty environment.
func command(ctx context.Context, name string, arg ...string) (io.Reader, string, error) {
	cmd := exec.CommandContext(ctx, name, arg...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	stdout, stderr := &bounded{most: maxListing}, &bounded{most: maxTalk}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	return &stdout.buf, stderr.buf.String(), err
}

// bounded is a buffer that drops what is above its bound. The buffer is no
// embedded one: its ReadFrom would go past Write.
type bounded struct {
	buf  bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.buf.Write(p[:min(len(p), max(0, b.most-b.buf.Len()))])
	return len(p), nil
}

// Serve answers on ln until ctx ends, or until nobody was there for idle (0 is
// for ever): systemd starts the helper again for the next connection. It closes
// ln and returns nil; no goroutine outlives it.
func (h *Helper) Serve(ctx context.Context, ln net.Listener, idle time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	h.last.Store(time.Now().UnixNano())
	var wg sync.WaitGroup
	defer wg.Wait()
	if idle > 0 {
		wg.Go(func() { h.endWhenIdle(ctx, cancel, idle) })
	}
	limited := listen.Limit(ln, maxConns)
	for {
		conn, err := limited.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			cancel()
			return fmt.Errorf("queue helper: accept: %w", err)
		}
		h.busy.Add(1)
		wg.Go(func() {
			defer func() { h.last.Store(time.Now().UnixNano()); h.busy.Add(-1) }()
			defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
			listen.Only(ctx, conn, h.uid, "queue helper", h.log, func() { h.serve(ctx, conn) })
		})
	}
}

func (h *Helper) endWhenIdle(ctx context.Context, end func(), idle time.Duration) {
	tick := time.NewTicker(max(idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if h.busy.Load() == 0 && now.Sub(time.Unix(0, h.last.Load())) >= idle {
				end()
				return
			}
		}
	}
}

// serve answers one connection of the user that may ask.
func (h *Helper) serve(ctx context.Context, conn net.Conn) {
	in := bufio.NewReaderSize(conn, maxRequest)
	for {
		if err := conn.SetDeadline(time.Now().Add(lineTime)); err != nil || ctx.Err() != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			h.log.LogAttrs(ctx, slog.LevelWarn, "queue helper got a line that is too long")
		}
		if err != nil {
			return
		}
		answer, fatal := h.answer(ctx, strings.TrimSuffix(string(line), "\n"))
		if err := conn.SetDeadline(time.Now().Add(lineTime)); err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil || fatal {
			return
		}
	}
}

// answer does what a line asks for. It is fatal for the connection when the line
// is no request.
func (h *Helper) answer(ctx context.Context, line string) (out []byte, fatal bool) {
	req, err := parseRequest(line)
	var list *Listing
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, runTime)
		defer cancel()
		list, err = h.do(ctx, req)
		h.log.LogAttrs(ctx, slog.LevelInfo, "queue helper asked", slog.String("verdict", string(req.verb)),
			slog.String("queue_id", req.id), slog.Any("err", err))
	}
	out, encErr := appendAnswer(nil, list, err)
	return out, encErr != nil || errors.Is(err, errInvalid)
}

func (h *Helper) do(ctx context.Context, r request) (*Listing, error) {
	if r.verb == List {
		out, talk, err := h.run(ctx, postqueue, append(append([]string{}, h.args...), "-j")...)
		if err != nil {
			return nil, fmt.Errorf("postqueue: %w: %s", err, firstLine(talk))
		}
		list, err := parsePostqueue(out)
		return &list, err
	}
	flag, done := "", ""
	switch r.verb {
	case Hold:
		flag, done = "-h", "Placed on hold: 1 message"
	case Release:
		flag, done = "-H", "Released from hold: 1 message"
	case Delete:
		flag, done = "-d", "Deleted: 1 message"
	default:
		return nil, errInvalid
	}
	_, talk, err := h.run(ctx, postsuper, append(append([]string{}, h.args...), flag, r.id)...)
	switch {
	case err != nil:
		return nil, fmt.Errorf("postsuper: %w: %s", err, firstLine(talk))
	case !strings.Contains(talk, done):
		return nil, ErrNotFound
	}
	return nil, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
