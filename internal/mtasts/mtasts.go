package mtasts

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/state"
)

const (
	// refreshAfter is the age at which a policy that is used is fetched again,
	// though its record has not changed.
	refreshAfter = 24 * time.Hour
	// retryAfter is how long a policy that could not be fetched is not asked for.
	retryAfter = 5 * time.Minute
	// maxFetches bounds the fetches that are under way at once.
	maxFetches = 16
	// flightTimeout is for a fetch with the wait for its turn.
	flightTimeout = 2 * fetchTimeout
	// maxFailed bounds what is remembered of failures; all of it goes when it
	// is full, which costs a fetch each.
	maxFailed = 10_000
)

// lookups is what a Finder needs of DNS (package resolver).
type lookups interface {
	addrResolver
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// store keeps policies (package state).
type store interface {
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
}

// Deps are the parts that a Finder needs.
type Deps struct {
	DNS   lookups
	Store store
	// Roots are the certificates that vouch for servers; nil means those of
	// the system.
	Roots *x509.CertPool
}

// Finder finds policies. It is safe for concurrent use.
type Finder struct {
	dns   lookups
	store store
	log   *slog.Logger
	// fetch is fetcher.fetch outside of tests.
	fetch func(ctx context.Context, domain string) (Policy, error)
	slots chan struct{}
	// base is what fetches run under: they outlive the look-up that began them.
	base context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	closed  bool
	flights map[string]*flight
	failed  map[string]time.Time // when a domain may be asked again
}

// flight is a fetch under way.
type flight struct {
	done   chan struct{} // closed when the fields below are set
	policy Policy
	err    error
}

// New returns a Finder. It is closed with Close.
func New(deps Deps, log *slog.Logger) (*Finder, error) {
	if deps.DNS == nil || deps.Store == nil {
		return nil, errors.New("mta-sts: dns and a store are needed")
	}
	f := &fetcher{dns: deps.DNS, roots: deps.Roots, port: 443, reachable: public}
	return newFinder(deps, f, log), nil
}

func newFinder(deps Deps, f *fetcher, log *slog.Logger) *Finder {
	base, stop := context.WithCancel(context.Background())
	return &Finder{
		dns: deps.DNS, store: deps.Store, log: log, fetch: f.fetch,
		slots: make(chan struct{}, maxFetches), base: base, stop: stop,
		flights: map[string]*flight{}, failed: map[string]time.Time{},
	}
}

// Close ends what is under way and waits for it.
func (f *Finder) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.wg.Wait()
}

// saved is a policy in the store.
type saved struct {
	ID      string    `json:"id"`
	Fetched time.Time `json:"fetched"`
	Policy  Policy    `json:"policy"`
}

// Find returns the policy of a domain, the zero Policy if it has none that is
// known. What cannot be fetched is no policy (RFC 8461 §3.3), unless one that
// was fetched before still holds. The error, which is transient, says that ctx
// ended before the answer came; the fetch goes on, and its answer will be there
// next time.
func (f *Finder) Find(ctx context.Context, domain string) (Policy, error) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if !validHost(domain) {
		return Policy{}, nil
	}
	have, err := f.saved(ctx, domain)
	if err != nil {
		f.log.LogAttrs(ctx, slog.LevelWarn, "saved mta-sts policy not read", slog.Any("err", err))
	}
	id, err := f.record(ctx, domain)
	if err != nil {
		// DNS that does not answer takes no policy away, and makes none.
		f.log.LogAttrs(ctx, slog.LevelDebug, "mta-sts record not read", slog.Any("err", err))
		if ctx.Err() != nil && have.ID == "" {
			return Policy{}, ended(domain, ctx.Err())
		}
		return have.Policy, nil
	}
	now := time.Now()
	switch next(have, id, now) {
	case use:
		return have.Policy, nil
	case useAndFetch:
		f.join(domain, id, now)
		return have.Policy, nil
	}
	fl := f.join(domain, id, now)
	if fl == nil {
		return have.Policy, nil
	}
	select {
	case <-fl.done:
	case <-ctx.Done():
		if have.ID != "" {
			return have.Policy, nil
		}
		return Policy{}, ended(domain, ctx.Err())
	}
	if fl.err != nil {
		return have.Policy, nil
	}
	return fl.policy, nil
}

func ended(domain string, err error) error {
	return mailerr.With(mailerr.Transient, fmt.Errorf("mta-sts policy of %s: %w", domain, err))
}

// step is what to do about a domain.
type step int

const (
	use step = iota
	useAndFetch
	fetchFirst
)

// next decides by what is saved and by the id that the record names now. A
// record that is gone ends no policy: its max_age does.
func next(have saved, id string, now time.Time) step {
	switch {
	case id == "":
		return use
	case id != have.ID:
		return fetchFirst
	case now.Sub(have.Fetched) > refreshAfter:
		return useAndFetch
	}
	return use
}

// record returns the id that the domain's TXT record names, "" for none. A
// record that is malformed is none.
func (f *Finder) record(ctx context.Context, domain string) (string, error) {
	records, err := f.dns.LookupTXT(ctx, "_mta-sts."+domain)
	if err != nil {
		return "", err
	}
	id, err := ParseRecord(records)
	if err != nil {
		f.log.LogAttrs(ctx, slog.LevelDebug, "mta-sts record passed over", slog.String("domain", domain), slog.Any("err", err))
	}
	return id, nil
}

// saved returns what the store has of domain, the zero value for nothing.
func (f *Finder) saved(ctx context.Context, domain string) (saved, error) {
	e, err := f.store.Get(ctx, state.TLSPolicy, domain)
	if errors.Is(err, state.ErrNotFound) {
		return saved{}, nil
	}
	if err != nil {
		return saved{}, err
	}
	var s saved
	if err := json.Unmarshal(e.Value, &s); err != nil {
		return saved{}, fmt.Errorf("policy of %s: %w", domain, err)
	}
	if !time.Now().Before(s.Fetched.Add(s.Policy.MaxAge)) {
		return saved{}, nil
	}
	return s, nil
}

// join returns the fetch that is under way for domain, or begins one; nil if
// the last one failed a moment ago.
func (f *Finder) join(domain, id string, now time.Time) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flights[domain]; fl != nil {
		return fl
	}
	if f.closed || now.Before(f.failed[domain]) {
		return nil
	}
	fl := &flight{done: make(chan struct{})}
	f.flights[domain] = fl
	f.wg.Go(func() { f.fly(domain, id, fl) })
	return fl
}

// fly fetches and saves.
func (f *Finder) fly(domain, id string, fl *flight) {
	ctx, cancel := context.WithTimeout(f.base, flightTimeout)
	defer cancel()
	fl.policy, fl.err = f.safely(ctx, domain)
	if fl.err == nil {
		f.save(ctx, domain, saved{ID: id, Fetched: time.Now(), Policy: fl.policy})
	} else {
		f.log.LogAttrs(ctx, slog.LevelInfo, "mta-sts policy not fetched", slog.String("domain", domain), slog.Any("err", fl.err))
	}
	f.mu.Lock()
	delete(f.flights, domain)
	delete(f.failed, domain)
	if fl.err != nil {
		if len(f.failed) >= maxFailed {
			clear(f.failed)
		}
		f.failed[domain] = time.Now().Add(retryAfter)
	}
	f.mu.Unlock()
	close(fl.done)
}

// safely is fetch in its turn, with a panic made an error: nobody above could
// catch it.
func (f *Finder) safely(ctx context.Context, domain string) (p Policy, err error) {
	defer func() {
		if v := recover(); v != nil {
			p, err = Policy{}, fmt.Errorf("panic: %v", v)
			f.log.LogAttrs(ctx, slog.LevelError, "mta-sts fetch panicked",
				slog.String("err", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
		}
	}()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return Policy{}, fmt.Errorf("wait for a turn to fetch: %w", ctx.Err())
	}
	return f.fetch(ctx, domain)
}

// save keeps a policy until its max_age is over.
func (f *Finder) save(ctx context.Context, domain string, s saved) {
	b, err := json.Marshal(s)
	if err == nil {
		err = f.store.Put(ctx, state.TLSPolicy, state.Entry{Key: domain, Value: b, Expires: s.Fetched.Add(s.Policy.MaxAge)}, false)
	}
	if err != nil {
		f.log.LogAttrs(ctx, slog.LevelWarn, "mta-sts policy not saved", slog.String("domain", domain), slog.Any("err", err))
	}
}
