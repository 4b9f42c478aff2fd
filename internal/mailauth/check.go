package mailauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/spf"
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
}

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
	// header block; nil leaves DKIM out.
	Raw *rawmsg.Message
	// Body returns the whole message from its first byte. It is called once
	// for each signature that has a key, at the same time.
	Body func() io.Reader
}

// Checker finds out who sent a message. It is safe for concurrent use.
type Checker struct {
	res dnsResolver
	cfg Config
	log *slog.Logger
	// spfChecker asks res as well.
	spfChecker *spf.Checker
	// now is time.Now outside of tests.
	now func() time.Time
}

// New returns a Checker that asks res.
func New(res dnsResolver, cfg Config, log *slog.Logger) (*Checker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Checker{res: res, cfg: cfg, log: log, spfChecker: spf.New(res, ""), now: time.Now}, nil
}

// Check runs all checks at once and returns when the last one is done, at the
// latest when Config.Timeout is over or ctx ends: what has no answer by then
// is temperror. It never fails: an error is one of the results.
func (c *Checker) Check(ctx context.Context, in Input) Results {
	begin := c.now()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout.Std())
	defer cancel()
	var r Results
	var wg sync.WaitGroup
	if in.ClientAddr.IsValid() {
		in.ClientAddr = in.ClientAddr.Unmap().WithZone("")
		wg.Go(func() { r.IPRev = c.iprev(ctx, in) })
		c.spf(ctx, &wg, in, &r.SPF)
	}
	if in.Raw != nil && in.Body != nil {
		r.DKIMChecked = true
		c.dkim(ctx, &wg, in, &r)
	}
	wg.Wait()
	r.Took = c.now().Sub(begin)
	return r
}

// guard turns a panic of a library into the result temperror: one message's
// input must not end the process.
func (c *Checker) guard(ctx context.Context, method authres.Method, res *authres.Result, reason *string) {
	if v := recover(); v != nil {
		*res, *reason = authres.TempError, "internal error"
		c.log.LogAttrs(ctx, slog.LevelError, "authentication check panicked",
			slog.String("mech", string(method)), slog.String("err", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
	}
}
