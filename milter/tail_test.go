package milter

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// reads counts the bytes of a message, and keeps how it ends.
type reads struct {
	n   int64
	err error
}

func (r *reads) Check(_ context.Context, in mailauth.Input) mailauth.Results {
	r.n, r.err = io.Copy(io.Discard, in.Body())
	return mailauth.Results{}
}

// TestTail: what is behind the part that the rules look at is kept for a
// signature, a seal or the quarantine. Without them it is kept nowhere, and
// nobody takes the part for the whole.
func TestTail(t *testing.T) {
	ten := 10.0
	for _, tc := range []struct {
		name, field string
		change      func(*Config)
		whole       bool
	}{
		{name: "nobody wants it"},
		{name: "a field that only looks like it", field: "X-DKIM-Signature: x"},
		{name: "signed", field: "DKIM-Signature: x", whole: true},
		{name: "signed, oddly written", field: "dkim-signature : x", whole: true},
		{name: "forwarded", field: "ARC-Seal: i=1", whole: true},
		{name: "sealed by us", change: func(c *Config) { c.ARCSeal = "example.org" }, whole: true},
		{name: "quarantine by score", change: func(c *Config) { c.Scan.Quarantine = ten }, whole: true},
		{name: "quarantine of a domain", whole: true, change: func(c *Config) {
			c.Scan.Domains = map[string]scan.RecipientConfig{"example.org": {Quarantine: &ten}}
		}},
		{name: "quarantine by a rule", whole: true, change: func(c *Config) {
			c.Scan.AdminRules = []scan.AdminRule{{Name: "X", When: "true", Verdict: "discard"}}
		}},
		{name: "a rule that refuses", change: func(c *Config) {
			c.Scan.AdminRules = []scan.AdminRule{{Name: "X", When: "true", Verdict: "reject"}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.ScanBytes, cfg.SpoolMemory, cfg.SpoolDirectory = 64<<10, 32<<10, t.TempDir()
			if tc.change != nil {
				tc.change(&cfg)
			}
			msg := plain()
			if tc.field != "" {
				msg.Header = append(msg.Header, tc.field)
			}
			msg.Body = strings.Repeat("0123456\r\n", 20_000)
			c, s, j := &reads{}, &seen{}, &records{}
			ln := serve(t, cfg, Deps{Auth: c, Scan: s.scan, Quarantine: &keeper{}, Journal: j}, quiet(), scan.Inbound)
			if _, final := ln.dial(t).hello().transfer(msg); final.Code != 'a' {
				t.Fatalf("final answer %v", final)
			}
			size := int64(len(strings.Join(msg.Header, "\r\n")) + 4 + len(msg.Body))
			if whole := c.n == size && c.err == nil; whole != tc.whole || !whole && (c.n != 64<<10 || !errors.Is(c.err, errCut)) {
				t.Errorf("%d bytes of %d, %v", c.n, size, c.err)
			}
			if got := s.last(t).Size; got != size || j.last(t).fact("size") != itoa(int(size)) {
				t.Errorf("the rules were told of %d bytes, the journal of %s, want %d", got, j.last(t).fact("size"), size)
			}
		})
	}
}

// TestTailAfterReload: a message that was not kept whole goes to Junk when new
// settings would put it into quarantine, and never there in part.
func TestTailAfterReload(t *testing.T) {
	cfg := testConfig()
	cfg.ScanBytes, cfg.SpoolDirectory = 64<<10, t.TempDir()
	s, k := &seen{give: scan.Result{Verdict: verdict.Quarantine, Score: 12}}, &keeper{}
	msg := plain()
	msg.Body = strings.Repeat("0123456\r\n", 20_000)
	j := &records{}
	ln := serve(t, cfg, Deps{Scan: s.scan, Quarantine: k, Journal: j}, quiet(), scan.Inbound)
	if _, final := ln.dial(t).hello().transfer(msg); final.Code != 'a' || len(k.entries) != 0 {
		t.Fatalf("final answer %v, %d messages kept", final, len(k.entries))
	}
	if r := j.last(t); r.Verdict != "mark" || r.fact("not in quarantine") != "not all of it was kept" {
		t.Errorf("journal %+v", r)
	}
}
