package account

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestServices(t *testing.T) {
	if !slices.IsSorted(Services()) {
		t.Errorf("Services() = %v is not sorted", Services())
	}
	for word, want := range map[string]string{
		"smtp": Submission, "SMTP": Submission, "submission": Submission, "imap": IMAP, "imaps": IMAP, "pop3": POP3,
		"managesieve": Sieve, "sieve": Sieve, "webmail": Web, "Doveadm": "doveadm",
	} {
		if got := ServiceOf(word); got != want {
			t.Errorf("ServiceOf(%q) = %q, want %q", word, got, want)
		}
	}
	u := User{Services: []string{IMAP, Submission}}
	for word, want := range map[string]bool{"smtp": true, "imap": true, "pop3": false, "doveadm": false, "": false} {
		if got := u.AllowsService(word); got != want {
			t.Errorf("AllowsService(%q) = %v, want %v", word, got, want)
		}
		if !(User{}).AllowsService(word) {
			t.Errorf("AllowsService(%q) of a user without a list is false", word)
		}
		if got := (AppPassword{Services: u.Services}).AllowsService(word); got != want {
			t.Errorf("AllowsService(%q) of an app password = %v, want %v", word, got, want)
		}
	}
}

func TestAllowsAddr(t *testing.T) {
	u := User{AllowNets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}}
	for text, want := range map[string]bool{
		"192.0.2.9": true, "::ffff:192.0.2.9": true, "192.0.3.1": false, "fe80::1%eth0": true, "2001:db8::1": false, "::": false,
	} {
		if got := u.AllowsAddr(netip.MustParseAddr(text)); got != want {
			t.Errorf("AllowsAddr(%s) = %v, want %v", text, got, want)
		}
	}
	if u.AllowsAddr(netip.Addr{}) {
		t.Error("a login without an address is let in")
	}
	if !(User{}).AllowsAddr(netip.Addr{}) {
		t.Error("a user without networks is not let in")
	}
}

func TestExpired(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		end  time.Time
		want bool
	}{{time.Time{}, false}, {now.Add(1), false}, {now, true}, {now.Add(-1), true}} {
		if got := (User{Expires: tc.end}).Expired(now); got != tc.want {
			t.Errorf("Expired() with the end %v = %v, want %v", tc.end, got, tc.want)
		}
	}
}

// What somebody else wrote into the file is an error, and lets nobody in.
func TestStoredNets(t *testing.T) {
	for _, text := range []string{"192.0.2.0/24 x", "192.0.2.1", "local"} {
		if nets, err := ParseNets(text); err == nil {
			t.Errorf("ParseNets(%q) = %v, want an error", text, nets)
		}
	}
}
