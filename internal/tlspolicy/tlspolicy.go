package tlspolicy

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/mtasts"
	"github.com/gatepost/gatepost/internal/resolver"
)

const (
	// answerLife is how long an answer is kept.
	answerLife = time.Minute
	// maxAnswers bounds the answers of one generation.
	maxAnswers = 10_000
	// maxHosts bounds the mail exchangers of a domain that are looked at.
	maxHosts = 10
	// maxHop bounds a key.
	maxHop = 300
)

// dns is what DANE needs to know (package resolver).
type dns interface {
	LookupMXSecure(ctx context.Context, name string) (records []resolver.MX, secure bool, err error)
	LookupIPSecure(ctx context.Context, name string) (addrs []netip.Addr, secure bool, err error)
	LookupTLSA(ctx context.Context, name string) (records []resolver.TLSA, secure bool, err error)
}

// stsFinder finds the MTA-STS policy of a domain (package mtasts).
type stsFinder interface {
	Find(ctx context.Context, domain string) (mtasts.Policy, error)
}

// Policies answers. It is safe for concurrent use.
type Policies struct {
	dns dns
	sts stsFinder

	mu         sync.Mutex // guards the fields below
	cfg        Config
	own        list
	young, old map[string]answer
	turned     time.Time
}

// answer is a policy that was found, "" for none.
type answer struct {
	text  string
	until time.Time
}

// New returns Policies for cfg, which is valid. A part that cfg does not switch
// on may be nil.
func New(cfg Config, d dns, sts stsFinder) (*Policies, error) {
	p := &Policies{dns: d, sts: sts}
	return p, p.Reconfigure(cfg)
}

// Reconfigure takes cfg for every answer from now on, or returns what is wrong
// with it and keeps the old.
func (p *Policies) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.DANE && p.dns == nil || cfg.MTASTS && p.sts == nil {
		return fmt.Errorf("tls policy: DNS and MTA-STS are needed for what is switched on")
	}
	own := newList(cfg.Mandatory)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg, p.own = cfg, own
	p.young, p.old = nil, nil
	return nil
}

// Find returns the policy for a next hop, "" if there is none. An error is
// transient: nobody could say.
func (p *Policies) Find(ctx context.Context, nexthop string) (string, error) {
	if len(nexthop) > maxHop {
		return "", nil
	}
	hop := strings.ToLower(strings.TrimSuffix(nexthop, "."))
	now := time.Now()
	p.mu.Lock()
	cfg := p.cfg
	if text, ok := p.own.find(hop); ok {
		p.mu.Unlock()
		return text, nil
	}
	kept, ok := p.kept(hop, now)
	p.mu.Unlock()
	if ok || !plain(hop) || !cfg.DANE && !cfg.MTASTS {
		return kept, nil
	}
	text, err := p.ask(ctx, cfg, hop)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.young != nil { // else the configuration has changed meanwhile
		p.young[strings.Clone(hop)] = answer{text, now.Add(answerLife)}
	}
	return text, nil
}

// kept returns the answer that is known of hop. It needs p.mu.
func (p *Policies) kept(hop string, now time.Time) (string, bool) {
	if p.young == nil || len(p.young) >= maxAnswers || now.Sub(p.turned) > answerLife {
		p.old, p.young, p.turned = p.young, make(map[string]answer), now
	}
	a, ok := p.young[hop]
	if !ok {
		a, ok = p.old[hop]
	}
	if !ok || !now.Before(a.until) {
		return "", false
	}
	return a.text, true
}

// ask finds out about a domain. MTA-STS is asked only if DANE says nothing: it
// costs a fetch.
func (p *Policies) ask(ctx context.Context, cfg Config, domain string) (string, error) {
	var f facts
	var err error
	if cfg.DANE {
		if f, err = p.dane(ctx, domain); err != nil {
			return "", err
		}
	}
	if cfg.MTASTS && decideDANE(f) == "" {
		if f.sts, err = p.sts.Find(ctx, domain); err != nil {
			return "", err
		}
	}
	return decide(f), nil
}

// dane asks for the mail exchangers and their TLSA records.
func (p *Policies) dane(ctx context.Context, domain string) (facts, error) {
	mx, secure, err := p.dns.LookupMXSecure(ctx, domain)
	if err != nil {
		return facts{}, fmt.Errorf("mail exchangers of %s: %w", domain, err)
	}
	f := facts{secure: secure}
	if !secure {
		return f, nil
	}
	if len(mx) == 0 {
		f.hosts = []host{{name: domain}} // RFC 5321 §5.1: the implicit MX
	}
	for _, m := range mx[:min(len(mx), maxHosts)] {
		if m.Host != "" {
			f.hosts = append(f.hosts, host{name: m.Host})
		}
	}
	var wg sync.WaitGroup
	for i := range f.hosts {
		wg.Go(func() { p.host(ctx, &f.hosts[i]) })
	}
	wg.Wait()
	return f, nil
}

// host asks for the TLSA records of one. Where its addresses are not secure it
// has none that count, and is not asked for any: there are servers that break
// on the question (RFC 7672 §2.2.2).
func (p *Policies) host(ctx context.Context, h *host) {
	addrs, secure, err := p.dns.LookupIPSecure(ctx, h.name)
	if err != nil || !secure || len(addrs) == 0 {
		h.unknown = err != nil
		return
	}
	records, secure, err := p.dns.LookupTLSA(ctx, "_25._tcp."+h.name)
	if err != nil {
		h.unknown = true
		return
	}
	for _, r := range records {
		h.tlsa = h.tlsa || secure && usable(r)
	}
}
