package policyd

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/spf"
	"github.com/gatepost/gatepost/internal/publicsuffix"
	"github.com/gatepost/gatepost/internal/resolver"
)

// spfResolver is what the evaluation of SPF asks of DNS; see package resolver.
type spfResolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]resolver.MX, error)
	LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error)
}

// Bounds of what is remembered of SPF: the recipients of one mail, and the tries
// of one client, ask the same.
const (
	spfLife       = 10 * time.Minute
	maxSPFAnswers = 5000 // of a generation; there are two
	maxSPFSender  = 320
	spfAtOnce     = 4
)

// Organizations proves by SPF which organization a client sends for. It is safe
// for concurrent use.
type Organizations struct {
	dns spfResolver

	mu         sync.Mutex // guards the fields below
	young, old map[spfQuestion]string
	turned     time.Time
}

type spfQuestion struct {
	client   netip.Addr
	mailFrom string
}

// NewOrganizations returns Organizations that ask dns.
func NewOrganizations(dns spfResolver) *Organizations { return &Organizations{dns: dns} }

// Authenticated returns the organization of mailFrom when SPF is pass, and not
// because all the world may send for it. What can not be found out for the
// moment is not proved, and is asked anew the next time.
func (o *Organizations) Authenticated(ctx context.Context, client netip.Addr, helo, mailFrom string) (org string, ok bool) {
	from, err := mailaddr.Parse(mailFrom)
	if err != nil || from.Domain == "" || !client.IsValid() || len(mailFrom) > maxSPFSender {
		return "", false
	}
	now := time.Now()
	q := spfQuestion{client, mailFrom}
	if org, known := o.known(q, now); known {
		return org, org != ""
	}
	check := spf.New(resolver.NewShare(o.dns, spfAtOnce), "")
	v := check.MailFrom(ctx, spf.Client{Addr: client, Helo: helo}, from).Verdict
	if v.Result == authres.TempError {
		return "", false
	}
	if v.Result == authres.Pass && !strings.EqualFold(strings.TrimPrefix(v.Term, "+"), "all") {
		org, _ = publicsuffix.Organization(v.Domain)
	}
	o.remember(q, org, now)
	return org, org != ""
}

// known returns what was found out before.
func (o *Organizations) known(q spfQuestion, now time.Time) (org string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.turn(now)
	if org, ok = o.young[q]; !ok {
		org, ok = o.old[q]
	}
	return org, ok
}

func (o *Organizations) remember(q spfQuestion, org string, now time.Time) {
	q.mailFrom = strings.Clone(q.mailFrom)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.turn(now)
	o.young[q] = org
}

// turn drops the older generation when the younger is full or old. It needs
// o.mu.
func (o *Organizations) turn(now time.Time) {
	age := now.Sub(o.turned)
	if o.young != nil && len(o.young) < maxSPFAnswers && age < spfLife/2 {
		return
	}
	o.old, o.young = o.young, map[spfQuestion]string{}
	if age >= spfLife { // nobody asked for so long that both are old
		o.old = nil
	}
	o.turned = now
}
