package mailauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
)

// dnsResolver is what checking needs of DNS (package resolver): no record is
// an empty result and a nil error, an error is temporary.
type dnsResolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]resolver.MX, error)
	LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error)
	Exists(ctx context.Context, name string) (bool, error)
}

// recaller is a dnsResolver that can tell what it knows without a wait.
type recaller interface{ Recall() *resolver.Recalled }

// Input is what Check looks at.
type Input struct {
	// ClientAddr is the address of the SMTP client; the zero Addr when it is
	// not known, which leaves iprev and SPF out.
	ClientAddr netip.Addr
	// ClientName is the name that the MTA found for the address and led back
	// to it; "" or "unknown" when there is none, and then Check asks DNS.
	ClientName string
	// Helo is the argument of HELO or EHLO as it was typed.
	Helo string
	// MailFrom is the reverse-path; the zero Address is the null one.
	MailFrom mailaddr.Address
	// Raw is the scanned message, or the first part of it with the whole
	// header block; nil leaves DKIM, ARC and DMARC out.
	Raw *rawmsg.Message
	// Body returns the whole message from its first byte. It is called once.
	Body func() io.Reader
	// Seal asks for what Results.Seal needs.
	Seal bool
}

// Checker finds out who sent a message. It is safe for concurrent use.
type Checker struct {
	res dnsResolver
	log *slog.Logger
	set atomic.Pointer[settings] // never nil
	// now is time.Now outside of tests.
	now func() time.Time
}

// settings are a Config made ready. They do not change: a message keeps those
// that it began with.
type settings struct {
	timeout    time.Duration
	policies   *dmarc.Checker
	forwarders forwarders
}

// New returns a Checker that asks res.
func New(res dnsResolver, cfg Config, log *slog.Logger) (*Checker, error) {
	c := &Checker{res: res, log: log, now: time.Now}
	if err := c.Reconfigure(cfg); err != nil {
		return nil, err
	}
	return c, nil
}

// Reconfigure takes new settings from the next message on. With an error the
// old ones go on.
func (c *Checker) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	policies, err := dmarc.New(c.res, cfg.DMARC.Mode)
	if err != nil {
		return err
	}
	c.set.Store(&settings{timeout: cfg.Timeout.Std(), policies: policies, forwarders: readForwarders(cfg.TrustedForwarders)})
	return nil
}

// What each of the checks of one message may ask at once. They have parts of
// their own: with one for all, a stranger's slow records would keep the policy
// that condemns him waiting until its time is over. DKIM and ARC have theirs in
// package dkim, DMARC asks one question at a time; that makes 24 in all.
const (
	shareIPRev    = 4
	shareHelo     = 2
	shareMailFrom = 5
)

// Check runs all checks at once and returns when the last one is done: at the
// latest when Config.Timeout and half of it are over, or ctx ends. What has no
// answer by then is temperror. It never fails: an error is one of the results.
func (c *Checker) Check(ctx context.Context, in Input) Results {
	begin := c.now()
	set := c.set.Load()
	limit := set.limit(ctx)
	first, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var r Results
	var wg sync.WaitGroup
	if in.ClientAddr.IsValid() {
		in.ClientAddr = in.ClientAddr.Unmap().WithZone("")
		c.iprev(first, &wg, in, &r.IPRev)
		c.spf(first, &wg, in, &r.SPF)
	}
	var policy policy
	if in.Raw != nil && in.Body != nil {
		r.DKIMChecked, r.DMARCChecked = true, true
		policy.from = readFrom(in.Raw)
		c.beginPolicy(first, &wg, set, &policy)
		c.signatures(first, in, &r) // most of the work, so in no goroutine of its own
	}
	wg.Wait()
	if r.DMARCChecked {
		last, cancel := context.WithTimeout(ctx, limit/2)
		defer cancel()
		c.finishPolicy(last, set, in, policy, &r)
	}
	r.Took = c.now().Sub(begin)
	return r
}

// limit returns how long the checks may take that go on at once. Where ctx
// leaves less than Config.Timeout, a third is kept for DMARC.
func (s *settings) limit(ctx context.Context) time.Duration {
	limit := s.timeout
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)*2/3)
	}
	return limit
}

// guard turns a panic into the result temperror: one message's input must not
// end the process.
func (c *Checker) guard(ctx context.Context, method authres.Method, res *authres.Result, reason *string) {
	if v := recover(); v != nil {
		*res, *reason = authres.TempError, "internal error"
		c.logPanic(ctx, method, fmt.Sprint(v), debug.Stack())
	}
}

func (c *Checker) logPanic(ctx context.Context, method authres.Method, text string, stack []byte) {
	c.log.LogAttrs(ctx, slog.LevelError, "authentication check panicked",
		slog.String("mech", string(method)), slog.String("err", text), slog.String("stack", string(stack)))
}
