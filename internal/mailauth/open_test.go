package mailauth

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/resolver"
)

// TestReplayWithoutSeal: a trusted list passed on a message and said in its seal
// that DMARC failed there. Whoever takes the ARC fields off hides that, and the
// list's signature still holds; "arc:" does not fall for it.
func TestReplayWithoutSeal(t *testing.T) {
	k := makeKeys(t)
	dns := k.policies(t)
	signed := sign(t, from("ceo@d.example"), "s", k.rsa2048, func(o *dkim.SignOptions) { o.Domain = "one.example" })
	sealed := k.seal(t, dns, signed, "one.example", "dmarc=fail header.from=d.example")
	stripped := strings.Replace(sealed[strings.Index(sealed, "DKIM-Signature:"):], "[x] ", "", 1)
	for _, tc := range []struct {
		name, msg, trusted string
		want               dmarc.Policy
	}{
		{"as it was sent", sealed, "one.example", dmarc.Reject},
		{"without its seal", stripped, "one.example", dmarc.None}, // the trap
		{"without its seal, arc:", stripped, "arc:one.example", dmarc.Reject},
	} {
		cfg := Default()
		cfg.TrustedForwarders = []string{tc.trusted}
		c, err := New(dns, cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		r := c.Check(t.Context(), mailOf(t, home, "", "<evil@x.example>", tc.msg))
		if r.Policy() != tc.want || r.DMARC.Result != authres.Fail {
			t.Errorf("%s: policy %s, DMARC %s, DKIM %+v, want %s", tc.name, r.Policy(), r.DMARC.Result, r.DKIM, tc.want)
		}
	}
}

// TestOpenPolicy: what had no answer may have been what vouches.
func TestOpenPolicy(t *testing.T) {
	k := makeKeys(t)
	const me = "Alice <alice@d.example>"
	ill := sign(t, from(me), "ill", k.rsa2048)
	sealed := func(says string) string { return k.seal(t, k.policies(t), from(me), "one.example", says) }
	for _, tc := range []struct {
		name, mailFrom, msg string
		trusted             []string
		result              authres.Result
		want                dmarc.Policy
	}{
		{"dead delegation of MAIL FROM", "<a@dead.d.example>", from(me), nil, authres.TempError, dmarc.Reject},
		{"another domain is dead", "<a@dead.example>", from(me), nil, authres.Fail, dmarc.None},
		{"the key has no answer", "<l@one.example>", ill, nil, authres.TempError, dmarc.Reject},
		{"the key has no answer, body changed", "<l@one.example>", ill + "x", nil, authres.Fail, dmarc.None},
		{"the key has no answer, SPF vouches", "<alice@spf.d.example>", ill, nil, authres.Pass, dmarc.None},
		{"subdomain", "<a@dead.d.example>", from("a@x.d.example"), nil, authres.TempError, dmarc.Quarantine},
		{"test mode", "<a@dead.test.example>", from("a@test.example"), nil, authres.TempError, dmarc.Quarantine},
		{"p=none", "<a@dead.none.example>", from("a@none.example"), nil, authres.TempError, dmarc.None},
		{"the policy has no answer", "<a@dead.ill.example>", from("a@ill.example"), nil, authres.TempError, dmarc.None},
		{"two authors, the stricter counts", "<a@dead.none.example>", from("a@none.example, b@x.d.example"), nil, authres.Fail, dmarc.None},
		{"two authors, both open", "<a@dead.test.example>", sign(t, from("a@none.example, a@test.example"), "ill", k.rsa2048), nil, authres.TempError, dmarc.Quarantine},
		{"a trusted forwarder speaks for it", "<l@one.example>", ill, []string{"one.example"}, authres.TempError, dmarc.None},
		{"SPF of a trusted forwarder has no answer", "<l@dead.example>", from(me), []string{"spf:dead.example"}, authres.Fail, dmarc.Reject},
		{"it is trusted by another method", "<l@dead.example>", from(me), []string{"arc:dead.example"}, authres.Fail, dmarc.None},
		{"its seal has no answer", "<l@x.example>", sealed("dmarc=pass header.from=d.example"), []string{"arc:one.example"}, authres.Fail, dmarc.Reject},
		{"its seal has no answer, and says no good", "<l@x.example>", sealed("dmarc=fail header.from=d.example"), []string{"one.example"}, authres.Fail, dmarc.None},
		{"a stranger's seal has no answer", "<l@x.example>", sealed("dmarc=pass header.from=d.example"), []string{"two.example"}, authres.Fail, dmarc.None},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dns := k.policies(t)
			dns.txt["spf.d.example"] = []string{"v=spf1 ip4:" + relay + " -all"}
			for _, n := range []string{"dead.d.example", "dead.test.example", "dead.none.example", "dead.example", "ill._domainkey.d.example", "_dmarc.ill.example", "s._domainkey.one.example"} {
				dns.ill[n] = true
			}
			cfg := Default()
			cfg.TrustedForwarders = tc.trusted
			c, err := New(dns, cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			r := c.Check(t.Context(), mailOf(t, relay, "", tc.mailFrom, tc.msg))
			if r.DMARC.Result != tc.result || r.OpenPolicy() != tc.want || (r.DMARC.Result == authres.TempError || tc.want != dmarc.None) && r.Policy() != dmarc.None {
				t.Errorf("DMARC %+v, open %s, want %s %s", r.DMARC, r.OpenPolicy(), tc.result, tc.want)
			}
		})
	}
	t.Run("client not known", func(t *testing.T) {
		in := input(from(me))
		in.MailFrom = address(t, "<alice@d.example>")
		if r := checker(t, k.policies(t)).Check(t.Context(), in); r.DMARC.Result != authres.TempError || r.OpenPolicy() != dmarc.None {
			t.Errorf("DMARC %+v, open %s: another try would not know the client either", r.DMARC, r.OpenPolicy())
		}
	})
}

func TestReconfigure(t *testing.T) {
	k := makeKeys(t)
	c := checker(t, k.policies(t))
	in := mailOf(t, relay, "", "<l@one.example>", from("a@a.b.d.example"))
	look := func() (Forwarder, int) {
		r := c.Check(t.Context(), in)
		return r.Forwarder, len(r.DMARC.Asked)
	}
	if w, n := look(); w.Domain != "" || n <= 2 {
		t.Errorf("before: %+v, %d questions", w, n)
	}
	cfg := Default()
	cfg.TrustedForwarders, cfg.DMARC.Mode = []string{"spf:one.example"}, dmarc.ModePSL
	if err := c.Reconfigure(cfg); err != nil {
		t.Fatal(err)
	}
	if w, n := look(); w.Domain != "one.example" || n != 2 {
		t.Errorf("after: %+v, %d questions, want one.example and 2", w, n)
	}
	cfg.TrustedForwarders = []string{"nonsense"}
	if err := c.Reconfigure(cfg); err == nil {
		t.Error("Reconfigure took a bad list")
	}
	if w, _ := look(); w.Domain != "one.example" {
		t.Errorf("after a refusal: %+v", w)
	}
}

// hostileDNS has whatever is asked for, in the worst form, after a second.
type hostileDNS struct {
	count            sync.Mutex // guards the rest
	now, most, total int
}

func (h *hostileDNS) slow(ctx context.Context) error {
	h.count.Lock()
	h.now++
	h.total++
	h.most = max(h.most, h.now)
	h.count.Unlock()
	defer func() {
		h.count.Lock()
		h.now--
		h.count.Unlock()
	}()
	select {
	case <-time.After(10 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hostileDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	err := h.slow(ctx)
	switch {
	case strings.HasPrefix(name, "_dmarc.victim."):
		return []string{"v=DMARC1; p=reject"}, err
	case strings.HasPrefix(name, "_dmarc."), strings.Contains(name, "._domainkey."):
		return nil, err
	}
	var b strings.Builder
	for i := range 9 {
		fmt.Fprintf(&b, " mx:%d.%s", i, name)
	}
	return []string{"v=spf1" + b.String() + " ptr -all"}, err
}

func (h *hostileDNS) LookupMX(ctx context.Context, name string) (out []resolver.MX, err error) {
	for i := range 10 {
		out = append(out, resolver.MX{Host: fmt.Sprintf("h%d.%s", i, name)})
	}
	return out, h.slow(ctx)
}

func (h *hostileDNS) LookupIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.99")}, h.slow(ctx)
}

func (h *hostileDNS) LookupAddr(ctx context.Context, _ netip.Addr) (out []string, err error) {
	for i := range 10 {
		out = append(out, fmt.Sprintf("p%d.example", i))
	}
	return out, h.slow(ctx)
}

func (h *hostileDNS) Exists(ctx context.Context, _ string) (bool, error) { return true, h.slow(ctx) }

// TestHostileShare: a message made to ask as much as it can has a part of the
// queries, and an end; the policy against it is found all the same.
func TestHostileShare(t *testing.T) {
	var head strings.Builder
	for i := range 50 {
		fmt.Fprintf(&head, "ARC-Seal: i=%d; a=rsa-sha256; cv=%s; d=s%d.evil.example; s=s; b=AAAA\r\n", i+1, map[bool]string{true: "none", false: "pass"}[i == 0], i)
		fmt.Fprintf(&head, "ARC-Message-Signature: i=%d; a=rsa-sha256; c=relaxed/relaxed; d=m%d.evil.example; s=s; h=from; bh=%s; b=AAAA\r\n", i+1, i, hashOf(body))
		fmt.Fprintf(&head, "ARC-Authentication-Results: i=%d; x; none\r\n", i+1)
	}
	for i := range 20 {
		fmt.Fprintf(&head, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.b.c.d.e.f.g%d.x.victim.example; s=s; h=from:subject; bh=%s; b=AAAA\r\n", i, hashOf(body))
	}
	msg := head.String() + from("a@1.2.3.4.5.6.7.8.x.victim.example")
	synctest.Test(t, func(t *testing.T) {
		dns := &hostileDNS{}
		in := mailOf(t, home, "helo.evil.example", "<x@evil.example>", msg)
		in.ClientName = ""
		r := checker(t, dns).Check(t.Context(), in)
		if r.DMARC.Result != authres.Fail || r.Policy() != dmarc.Reject {
			t.Errorf("DMARC = %+v", r.DMARC)
		}
		if r.SPF.MailFrom.Result != authres.Fail || r.ARC.Result != authres.Fail || r.ARC.Temporary {
			t.Errorf("SPF %+v, ARC %s %q", r.SPF, r.ARC.Result, r.ARC.Reason)
		}
		// HELO and MAIL FROM 1 + 9 + 90 + 11 each, iprev 11, keys 32, DMARC 8.
		if dns.most > 24 || dns.total > 275 {
			t.Errorf("%d questions, %d at once, want at most 275 and 24", dns.total, dns.most)
		}
		t.Logf("%d questions, %d at once, %v", dns.total, dns.most, r.Took)
	})
}
