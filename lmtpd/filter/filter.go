package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/outgoing"
)

const (
	// largeBytes and larger are read into memory by largeMessages at a time.
	largeBytes    = 1 << 20
	largeMessages = 4
	// stripes is how many users' mails are sent at once.
	stripes = 64
)

// spool is a *outgoing.Queue.
type spool interface {
	Add(m outgoing.Mail) error
	On() bool
}

// limits is a *limit.Limiter.
type limits interface {
	Take(ctx context.Context, s *limit.Set, m *limit.Mail) ([]limit.Result, error)
	Give(ctx context.Context, results []limit.Result, of limit.Of, n int64) error
}

// standings is an *account.Limits.
type standings interface {
	Standing(ctx context.Context, user mailaddr.Address) (account.Standing, error)
}

// senders is a *srs.Live.
type senders interface {
	Forward(from mailaddr.Address, now time.Time) mailaddr.Address
}

// lists answers :list; see sieve.Env.
type lists interface {
	Known(list string) bool
	Contains(ctx context.Context, list, value string) (bool, error)
}

// Deps are the parts that filtering stands on.
type Deps struct {
	// Accounts is an account.Reader.
	Accounts accounts
	// Scripts is a *script.Store.
	Scripts userScripts
	// State is a state.Store.
	State store
	// Outgoing is a *outgoing.Queue.
	Outgoing spool
	// Limits is a *limit.Limiter, Standings an *account.Limits; nil counts
	// nothing.
	Limits    limits
	Standings standings
	// SRS is a *srs.Live; nil rewrites nothing.
	SRS senders
	// Lists are those of :list; nil for none.
	Lists lists
}

// Filter runs users' scripts. It is safe for concurrent use.
type Filter struct {
	deps    Deps
	scripts *scripts
	names   *names
	snap    atomic.Pointer[snapshot]
	large   chan struct{}
	turns   [stripes]sync.Mutex
}

// snapshot is a configuration and what is made of it.
type snapshot struct {
	Config
	limits *limit.Set
}

// New returns a Filter.
func New(cfg Config, deps Deps) (*Filter, error) {
	if deps.Accounts == nil || deps.Scripts == nil || deps.State == nil || deps.Outgoing == nil {
		return nil, errors.New("filter: a part is missing")
	}
	f := &Filter{deps: deps, scripts: newScripts(deps.Scripts), names: &names{accounts: deps.Accounts}, large: make(chan struct{}, largeMessages)}
	return f, f.Reconfigure(cfg)
}

// Reconfigure takes cfg for every message that comes from now on, or leaves
// everything as it is and returns an error.
func (f *Filter) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	f.snap.Store(&snapshot{Config: cfg, limits: limit.Compile(cfg.Limits)})
	return nil
}

// Plan runs the scripts for m and returns what is to be done, nil where no
// script has a say. It changes nothing. Whatever goes wrong, the plan keeps the
// message.
func (f *Filter) Plan(ctx context.Context, m Message) *Plan {
	cfg := f.snap.Load()
	if !cfg.Enabled || m.Marked && !cfg.FilterJunk {
		return nil
	}
	c := f.scripts.chain(&cfg.Config, m.User.Addr)
	if len(c.scripts) == 0 && c.failed == nil && c.broken == nil {
		return nil
	}
	p := &Plan{Err: c.broken, user: m.User, source: m.Source.Key, keepSource: m.Source, folder: m.Folder, noCreate: m.NoCreate, now: time.Now()}
	r := &run{filter: f, cfg: cfg, m: &m, p: p, home: f.home(cfg, m.User.Addr), copies: copies{message: &m}}
	r.decide(ctx, c)
	p.Copies = r.copies.list
	if r.keepAsItCame || len(p.Copies) == 0 && len(r.failures) > 0 {
		p.Copies = appendKeep(p.Copies, &m)
	}
	return p
}

// appendKeep adds the message as it came, if it is not among the copies.
func appendKeep(list []Copy, m *Message) []Copy {
	c := copies{message: m, list: list}
	c.add(Copy{Folder: m.Folder, Create: !m.NoCreate})
	return c.list
}

func (f *Filter) home(cfg *snapshot, user mailaddr.Address) home {
	return home{root: cfg.MailRoot, addr: user, utf8: cfg.UTF8, uses: cfg.SpecialUse}
}

var errLarge = errors.New("the message is larger than scripts are given; it was not filtered")

// read returns the message with the fields on top, with CRLF throughout those.
func (f *Filter) read(ctx context.Context, m *Message, most int64) (raw []byte, release func(), err error) {
	release = func() {}
	top, body := crlf(m.Top), m.Body()
	buf := bytes.NewBuffer(make([]byte, 0, len(top)+roomFor(body)))
	buf.Write(top)
	n, err := io.Copy(buf, io.LimitReader(body, largeBytes))
	if err == nil && n == largeBytes {
		select {
		case f.large <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		release = func() { <-f.large }
		_, err = io.Copy(buf, io.LimitReader(body, most-n+1))
	}
	if err == nil && int64(buf.Len()) > most {
		err = errLarge
	}
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("read message: %w", err)
	}
	return buf.Bytes(), release, nil
}

// roomFor returns the room for what r reads at first, so that it is not copied
// while it grows.
func roomFor(r io.Reader) int {
	size := int64(8 << 10)
	switch r := r.(type) {
	case interface{ Len() int }:
		size = int64(r.Len())
	case interface{ Size() int64 }:
		size = r.Size()
	}
	return int(min(max(size, 0), largeBytes)) + bytes.MinRead
}

// crlf returns b with CRLF line ends.
func crlf(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
