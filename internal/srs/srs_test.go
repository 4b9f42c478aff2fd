package srs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	old  = secret.String("the key of last year")
	key  = secret.String("the key of this year")
)

func rewriter(t testing.TB, domain string, keys ...secret.Value) *Rewriter {
	t.Helper()
	r, err := New(domain, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func addr(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	a, err := mailaddr.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestThereAndBack(t *testing.T) {
	r := rewriter(t, "us.example", key)
	for _, s := range []string{"bob@origin.example", "Bob+x=y@Origin.example", `"a b"@origin.example`, "a=b=c@origin.example", "srs0@origin.example"} {
		from := addr(t, s)
		out := r.Forward(from, noon)
		if !Is(out) || out.Domain != "us.example" {
			t.Errorf("Forward(%s) = %s", from, out)
		}
		for _, to := range []mailaddr.Address{out, {LocalPart: strings.ToLower(out.LocalPart), Domain: "US.example"}} {
			back, err := r.Reverse(to, noon.Add(MaxAge))
			if err != nil || !strings.EqualFold(back.String(), from.String()) {
				t.Errorf("Reverse(%s) = %s, %v, want %s", to, back, err, from)
			}
		}
		if back, _ := r.Reverse(out, noon); back.LocalPart != from.LocalPart {
			t.Errorf("Reverse(%s) = %s: the case of %s is lost", out, back, from)
		}
	}
}

func TestForwardKeeps(t *testing.T) {
	r := rewriter(t, "us.example", key)
	for _, a := range []mailaddr.Address{{}, addr(t, "bob@us.example")} {
		if got := r.Forward(a, noon); got != a {
			t.Errorf("Forward(%s) = %s", a, got)
		}
	}
}

// TestChain: of any number of hops only the first and the last are in the
// address, and a bounce goes from one to the other.
func TestChain(t *testing.T) {
	first, second, third := rewriter(t, "first.example", old), rewriter(t, "second.example", key), rewriter(t, "third.example", secret.String("another key of ours"))
	one := first.Forward(addr(t, "bob@origin.example"), noon)
	two := second.Forward(one, noon)
	if !strings.HasPrefix(two.LocalPart, "SRS1=") || !strings.Contains(two.LocalPart, "=first.example==") {
		t.Fatalf("second hop: %s", two)
	}
	three := third.Forward(two, noon)
	if strings.Contains(three.LocalPart, "second.example") {
		t.Errorf("third hop names the second: %s", three)
	}
	back, err := third.Reverse(three, noon)
	if err != nil || back != one {
		t.Errorf("third hop: back to %s, %v, want %s", back, err, one)
	}
	if home, err := first.Reverse(back, noon); err != nil || home.String() != "bob@origin.example" {
		t.Errorf("first hop: back to %s, %v", home, err)
	}
}

func TestRefused(t *testing.T) {
	r := rewriter(t, "us.example", key)
	good := r.Forward(addr(t, "bob@origin.example"), noon)
	local := func(s string) mailaddr.Address { return mailaddr.Address{LocalPart: s, Domain: "us.example"} }
	for _, tc := range []struct {
		name string
		to   mailaddr.Address
		at   time.Time
		want error
	}{
		{"not SRS", addr(t, "bob@us.example"), noon, ErrNot},
		{"another host's", mailaddr.Address{LocalPart: good.LocalPart, Domain: "them.example"}, noon, ErrNot},
		{"another target", local(strings.Replace(good.LocalPart, "bob", "eve", 1)), noon, ErrForged},
		{"another domain", local(strings.Replace(good.LocalPart, "origin", "victim", 1)), noon, ErrForged},
		{"no MAC", local("SRS0=AA=origin.example=bob"), noon, ErrForged},
		{"short MAC", local("SRS0=AAAA=AA=origin.example=bob"), noon, ErrForged},
		{"tag changed", local("SRS1" + good.LocalPart[4:]), noon, ErrForged},
		{"empty", local("SRS0="), noon, ErrForged},
		{"too old", good, noon.Add(MaxAge + 24*time.Hour), ErrExpired},
		{"of the future", good, noon.Add(-48 * time.Hour), ErrExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, err := r.Reverse(tc.to, tc.at); !errors.Is(err, tc.want) {
				t.Errorf("Reverse(%s) = %s, %v, want %v", tc.to, got, err, tc.want)
			}
		})
	}
	if _, err := r.Reverse(good, noon.Add(-12*time.Hour)); err != nil {
		t.Errorf("a clock that is half a day ahead: %v", err)
	}
}

func TestKeyChange(t *testing.T) {
	before := rewriter(t, "us.example", old)
	sent := before.Forward(addr(t, "bob@origin.example"), noon)
	after := rewriter(t, "us.example", key, old)
	if _, err := after.Reverse(sent, noon); err != nil {
		t.Errorf("with the old key at hand: %v", err)
	}
	if got := after.Forward(addr(t, "bob@origin.example"), noon); got == sent {
		t.Error("the old key still makes addresses")
	}
	if _, err := rewriter(t, "us.example", key).Reverse(sent, noon); !errors.Is(err, ErrForged) {
		t.Errorf("without the old key: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		domain string
		keys   []secret.Value
	}{{"us.example", nil}, {"us.example", []secret.Value{secret.String("short")}}, {"not a domain", []secret.Value{key}}} {
		if _, err := New(tc.domain, tc.keys...); err == nil {
			t.Errorf("New(%q, %d keys) is no error", tc.domain, len(tc.keys))
		}
	}
}

func FuzzReverse(f *testing.F) {
	r := rewriter(f, "us.example", key)
	good := r.Forward(addr(f, "bob@origin.example"), noon)
	f.Add(good.LocalPart)
	f.Add(rewriter(f, "them.example", key).Forward(good, noon).LocalPart)
	f.Add("SRS1=x==")
	f.Fuzz(func(t *testing.T, local string) {
		back, err := r.Reverse(mailaddr.Address{LocalPart: local, Domain: "us.example"}, noon)
		if err == nil && !strings.EqualFold(r.Forward(back, noon).LocalPart, local) && local[3] == '0' && stampOf(local) == stamp(noon) {
			t.Errorf("Reverse(%q) = %s, which goes forward otherwise", local, back)
		}
		// Whatever comes in, what goes out comes back.
		from := mailaddr.Address{LocalPart: local, Domain: "origin.example"}
		out := r.Forward(from, noon)
		again, err := r.Reverse(out, noon)
		if out == from && len(local) > 400 {
			return // too long to come back
		}
		if local != "" && !Is(from) && (err != nil || again != from) {
			t.Errorf("%q: forward %s, back %s, %v", local, out, again, err)
		}
	})
}

func stampOf(local string) string {
	parts := strings.SplitN(local, "=", 4)
	if len(parts) < 4 {
		return ""
	}
	return strings.ToUpper(parts[2])
}
