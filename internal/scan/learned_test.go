package scan

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

func TestLearnedPoints(t *testing.T) {
	for _, tt := range []struct{ logit, weight, low, high float64 }{
		{0, 1, 0, 0},
		{2.5, 1, 4, 5},     // 12:1 is no mark alone
		{3.75, 1, 6, 6},    // 43:1 is
		{8, 1, 8, 9},       // sure
		{1e6, 1, 13.9, 14}, // never a refusal
		{math.Inf(1), 1, 14, 14},
		{-2, 1, -2.25, -2.25},
		{-12, 1, -6, -6},
		{math.Inf(-1), 1, -9, -9},
		{8, 0.5, 4, 4.5},
		{8, 0, 0, 0},
		{8, 7, 8, 9}, // a weight above 1 is 1
		{8, math.NaN(), 0, 0},
		{math.NaN(), 1, 0, 0},
	} {
		if p := (Learned{Logit: tt.logit, Weight: tt.weight}).Points(); !(p >= tt.low && p <= tt.high) {
			t.Errorf("Points of %v at weight %v = %v, want %v to %v", tt.logit, tt.weight, p, tt.low, tt.high)
		}
	}
}

// Property: points rise with the logit, strictly, so that no order is lost; and
// alone they never refuse.
func TestLearnedRises(t *testing.T) {
	last := math.Inf(-1)
	for x := -200.0; x <= 200; x += 0.25 {
		p := Learned{Logit: x, Weight: 1}.Points()
		if !(p > last) || p >= Default().Reject {
			t.Fatalf("Points of %v = %v after %v", x, p, last)
		}
		last = p
	}
}

func TestLearnedLine(t *testing.T) {
	off := Config{Rules: map[string]RuleConfig{"LEARNED_SPAM": {Mode: unit.Off}}}
	observe := Config{Rules: map[string]RuleConfig{"LEARNED_SPAM": {Mode: unit.Observe}}}
	half := 7.0
	weaker := Config{Rules: map[string]RuleConfig{"LEARNED_SPAM": {Score: &half}}}
	l := Learned{Logit: 5, Weight: 0.4, Ham: 31, Spam: 12}
	for _, tt := range []struct {
		name    string
		cfg     Config
		learned Learned
		want    string // name and points; "" for no line
		options string
	}{
		{"spam", Config{}, l, "LEARNED_SPAM 2.8", "p=0.993, 31 ham, 12 spam, 40 % of full weight"},
		{"ham", Config{}, Learned{Logit: -6, Weight: 1, Ham: 50, Spam: 60}, "LEARNED_HAM -4.5", "p=0.002, 50 ham, 60 spam, 100 % of full weight"},
		{"sure", Config{}, Learned{Logit: 11, Weight: 1, Ham: 50, Spam: 60}, "LEARNED_SPAM 9.625", "p=0.99998, 50 ham, 60 spam, 100 % of full weight"},
		{"nothing learned", Config{}, Learned{}, "", ""},
		{"no weight yet", Config{}, Learned{Logit: 3, Spam: 1}, "", ""},
		{"off", off, l, "", ""},
		{"off for spam only", off, Learned{Logit: -6, Weight: 1, Ham: 1}, "LEARNED_HAM -4.5", "p=0.002, 1 ham, 0 spam, 100 % of full weight"},
		{"observe", observe, l, "LEARNED_SPAM 0", "observed, would add 2.8, p=0.993, 31 ham, 12 spam, 40 % of full weight"},
		{"another most", weaker, l, "LEARNED_SPAM 1.4", "p=0.993, 31 ham, 12 spam, 40 % of full weight"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line, ok := tt.cfg.learned(tt.learned)
			got := ""
			if ok {
				got = fmt.Sprintf("%s %.5g", line.Name, line.Score)
			}
			if got != tt.want || strings.Join(line.Options, ", ") != tt.options {
				t.Errorf("learned = %q %q, want %q %q", got, line.Options, tt.want, tt.options)
			}
		})
	}
}

// The line is part of the score.
func TestLearnedCounts(t *testing.T) {
	m := Message{Learned: Learned{Logit: 30, Weight: 1, Ham: 100, Spam: 100}}
	with := Scan(Default(), m, time.Unix(0, 0))
	without := Scan(Default(), Message{}, time.Unix(0, 0))
	if d := verdict.Round(with.Score - without.Score); d != verdict.Round(m.Learned.Points()) || with.Verdict < verdict.Mark {
		t.Errorf("the learned line adds %v, verdict %v", d, with.Verdict)
	}
}

// What was learned of words in the header is no proof of who wrote them.
func TestForgedSenderGetsLittleCredit(t *testing.T) {
	l := verdict.Line{Name: "LEARNED_HAM", Score: -4}
	for name, tt := range map[string]struct {
		m    Message
		want float64
	}{
		"nobody denies":         {Message{}, -4},
		"SPF passes":            {spfIs(authres.Pass), -4},
		"SPF denies":            {spfIs(authres.Fail), -1},
		"DMARC denies":          {dmarcIs(authres.Fail, dmarc.None), -1},
		"a forwarder stands in": {forwarded(dmarc.Reject), -4},
	} {
		if got := doubted(l, tt.m.Auth).Score; got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	spam := verdict.Line{Name: "LEARNED_SPAM", Score: 4}
	if got := doubted(spam, spfIs(authres.Fail).Auth).Score; got != 4 {
		t.Errorf("spam counts %v, want 4", got)
	}
}
