package firewall

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/listen"
)

const (
	// lineTime bounds the wait for the rest of a sync and for an answer to be
	// read.
	lineTime = 30 * time.Second
	// checkTime is how often the table is looked for.
	checkTime = 5 * time.Second
	// maxConns are served at a time, the others wait.
	maxConns = 4
)

// kernel is what the helper needs of nftables.
type kernel interface {
	load(all map[set][]span, now time.Time) error
	apply(changes []change, now time.Time) error
	whole() (bool, error)
	remove() error
	list() ([]Range, error)
}

// Helper changes the firewall for one user.
type Helper struct {
	uid    int
	log    *slog.Logger
	kernel kernel

	mu sync.Mutex
	// book and synced are guarded by mu, and so is the order of transactions.
	book   book
	synced bool
	conns  int
	last   time.Time
}

// NewHelper returns a Helper that answers uid only.
func NewHelper(uid int, log *slog.Logger) *Helper {
	return &Helper{uid: uid, log: log, kernel: table{}, book: book{}, last: time.Now()}
}

// Serve answers on ln until ctx ends, or until nobody was there for idle (0 is
// for ever): systemd starts the helper again for the next connection. It closes
// ln, leaves the bans where they are and returns nil; no goroutine outlives it.
func (h *Helper) Serve(ctx context.Context, ln net.Listener, idle time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { h.watch(ctx, cancel, idle) })
	limited := listen.Limit(ln, maxConns)
	for {
		conn, err := limited.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			cancel()
			return fmt.Errorf("firewall helper: accept: %w", err)
		}
		h.came(1)
		wg.Go(func() {
			defer h.came(-1)
			defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
			listen.Only(ctx, conn, h.uid, "firewall helper", h.log, func() { h.serve(ctx, conn) })
		})
	}
}

func (h *Helper) came(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns += n
	h.last = time.Now()
}

// watch puts the table back when it is gone, and ends the helper when nobody
// needs it.
func (h *Helper) watch(ctx context.Context, end func(), idle time.Duration) {
	every := checkTime
	if idle > 0 {
		every = min(every, max(idle/4, time.Millisecond))
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	checked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			h.mu.Lock()
			over := idle > 0 && h.conns == 0 && now.Sub(h.last) >= idle
			h.mu.Unlock()
			if over {
				end()
				return
			}
			if now.Sub(checked) >= checkTime {
				checked = now
				h.check(ctx, now)
			}
		}
	}
}

// check puts the table back when somebody flushed the firewall.
func (h *Helper) check(ctx context.Context, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.synced {
		return
	}
	whole, err := h.kernel.whole()
	if err == nil && whole {
		return
	}
	if err == nil {
		err = h.load(now)
	}
	h.log.LogAttrs(ctx, slog.LevelWarn, "firewall table was gone and is put back", slog.Any("err", err))
}

// load makes the kernel hold what the book has.
func (h *Helper) load(now time.Time) error {
	h.book.drop(now)
	all := map[set][]span{}
	for _, s := range sets() {
		all[s] = flatten(h.book.in(s, netip.Prefix{}, now))
	}
	return h.kernel.load(all, now)
}

// serve answers one connection of the user that may ask.
func (h *Helper) serve(ctx context.Context, conn net.Conn) {
	in := bufio.NewReaderSize(conn, maxLine)
	for ctx.Err() == nil {
		// The client stays connected between two requests, so that one wait has
		// no end.
		line, err := readLine(in)
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				h.log.LogAttrs(ctx, slog.LevelWarn, "firewall helper got a line that is too long")
			}
			return
		}
		answer, err := h.answer(ctx, conn, in, line)
		if len(answer) > 0 {
			if conn.SetDeadline(time.Now().Add(lineTime)) != nil {
				return
			}
			if _, writeErr := conn.Write(answer); writeErr != nil {
				return
			}
		}
		if err != nil || conn.SetDeadline(time.Time{}) != nil {
			return
		}
	}
}

// answer does what a line asks for. The error ends the connection.
func (h *Helper) answer(ctx context.Context, conn net.Conn, in *bufio.Reader, line string) ([]byte, error) {
	req, err := parseRequest(line)
	if errors.Is(err, ErrNetwork) {
		return appendAnswer(nil, nil, false, err), nil // a request, and no
	}
	if err != nil {
		return appendAnswer(nil, nil, false, err), err
	}
	var all []Ban
	if req.verb == verbSync {
		if err := conn.SetDeadline(time.Now().Add(lineTime)); err != nil {
			return nil, err
		}
		if all, err = readBans(in, req.count); err != nil {
			return appendAnswer(nil, nil, false, err), err
		}
	}
	ranges, err := h.do(req, all)
	if denied(err) {
		err = fmt.Errorf("%w: the helper needs CAP_NET_ADMIN: gatepost-firewall.service gives it", err)
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "firewall helper asked", slog.String("verdict", string(req.verb)),
		slog.Any("client_addr", req.ban.Network), slog.Int("bans", len(all)), slog.Any("err", err))
	return appendAnswer(nil, ranges, req.verb == verbList, err), nil
}

// readBans reads the lines of a sync.
func readBans(in *bufio.Reader, n int) ([]Ban, error) {
	var all []Ban // it grows with what comes, not with what was announced
	for range n {
		line, err := readLine(in)
		if err != nil {
			return nil, err
		}
		b, err := parseBan(line)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	return strings.TrimSuffix(string(line), "\n"), err
}

// errNoSync is for a helper that was started anew: it does not know what holds.
var errNoSync = errors.New("sync comes first")

func (h *Helper) do(r request, all []Ban) ([]Range, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch r.verb {
	case verbList:
		return h.kernel.list()
	case verbOff:
		h.book, h.synced = book{}, false
		return nil, h.kernel.remove()
	case verbSync:
		next := book{}
		for _, b := range all {
			next[b.Network] = held{b.Services, now.Add(b.Left)}
		}
		h.book, h.synced = next, true
		return nil, h.load(now)
	case verbBan:
		if _, there := h.book[r.ban.Network]; !there && len(h.book) >= MaxBans {
			if h.book.drop(now); len(h.book) >= MaxBans {
				return nil, fmt.Errorf("%d networks are banned already", MaxBans)
			}
		}
		return nil, h.put(r.ban.Network, held{r.ban.Services, now.Add(r.ban.Left)}, now)
	case verbLift:
		return nil, h.put(r.ban.Network, held{}, now)
	}
	return nil, errInvalid
}

// put changes one network. Where the kernel does not have what the book has,
// because an element just ended or the firewall was flushed, all is loaded anew.
func (h *Helper) put(p netip.Prefix, next held, now time.Time) error {
	if !h.synced {
		return errNoSync
	}
	changes := h.book.put(p, next, now)
	if len(changes) == 0 {
		return nil
	}
	if err := h.kernel.apply(changes, now); err != nil && !denied(err) {
		return h.load(now)
	} else if err != nil {
		return err
	}
	return nil
}
