package maildir

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

func TestHome(t *testing.T) {
	for _, tc := range []struct {
		name, local, domain, want string
	}{
		{"plain", "alice", "example.org", "/var/vmail/example.org/alice"},
		{"folded", "Alice", "example.org", "/var/vmail/example.org/alice"},
		{"detail is not ours to cut", "alice+box", "example.org", "/var/vmail/example.org/alice+box"},
		{"blank", "a b", "example.org", "/var/vmail/example.org/a b"},
		{"UTF-8", "дмитрий", "почта.рф", "/var/vmail/почта.рф/дмитрий"},
		{"dot inside", "a.b", "example.org", "/var/vmail/example.org/a.b"},
		{"slash", "../../etc", "example.org", ""},
		{"slash inside", "a/b", "example.org", ""},
		{"dot dot", "..", "example.org", ""},
		{"leading dot", ".ssh", "example.org", ""},
		{"NUL", "a\x00b", "example.org", ""},
		{"LF", "a\nb", "example.org", ""},
		{"empty", "", "example.org", ""},
		{"201 bytes", strings.Repeat("a", 201), "example.org", ""},
		{"200 bytes", strings.Repeat("a", 200), "example.org", "/var/vmail/example.org/" + strings.Repeat("a", 200)},
		{"not UTF-8", "a\xff", "example.org", ""},
		{"no domain", "alice", "", ""},
		{"domain dot dot", "alice", "..", ""},
		{"domain slash", "alice", "a/b", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Home("/var/vmail", mailaddr.Address{LocalPart: tc.local, Domain: tc.domain})
			if got != tc.want || (tc.want == "") != errors.Is(err, ErrUnsafe) {
				t.Errorf("Home(%q, %q) = %q, %v, want %q", tc.local, tc.domain, got, err, tc.want)
			}
		})
	}
}

func FuzzHome(f *testing.F) {
	for _, s := range []string{"alice", "../x", "a/b", ".", "a\x00", "дмитрий"} {
		f.Add(s, "example.org")
	}
	f.Fuzz(func(t *testing.T, local, domain string) {
		got, err := Home("/v", mailaddr.Address{LocalPart: local, Domain: domain})
		if err != nil {
			return
		}
		parts := strings.Split(got, "/")
		if len(parts) != 4 || parts[1] != "v" || strings.HasPrefix(parts[2], ".") || strings.HasPrefix(parts[3], ".") ||
			strings.ContainsAny(got, "\x00\r\n") {
			t.Errorf("Home(%q, %q) = %q", local, domain, got)
		}
	})
}

func TestNames(t *testing.T) {
	n := newNames("mx/a:b")
	now := time.Unix(1795157745, 999999*1000)
	seen := map[string]bool{}
	for range 1000 {
		s := n.next(now).temp()
		if seen[s] || strings.ContainsAny(s, "/:\n,") || !strings.HasSuffix(s, `.mx\057a\072b`) {
			t.Fatalf("next() = %q", s)
		}
		seen[s] = true
	}
	first, second := newNames(""), newNames("")
	if a := first.next(now).temp(); !strings.HasPrefix(a, "1795157745.M999999P") || !strings.HasSuffix(a, ".localhost") {
		t.Errorf("next() = %q", a)
	}
	if b := first.next(now).temp(); !strings.HasPrefix(b, "1795157746.M0P") {
		t.Errorf("the second name in one microsecond = %q, want the next microsecond", b)
	}
	if a, b := first.next(now).temp(), second.next(now).temp(); a == b {
		t.Errorf("two sources gave %q", a)
	}
	b := base{unique: "1.M2P3Q4", random: "R5.", host: "h"}
	if got := b.final(Key{}, lines{size: 251, lone: 12}); got != "1.M2P3Q4R5.h,S=251,W=263" {
		t.Errorf("final = %q", got)
	}
	if got := b.final(Key{15: 1}, lines{size: 1}); got != "1.M2P3Q4K00000000000000000000000000000001.h,S=1,W=1" {
		t.Errorf("final = %q", got)
	}
}
