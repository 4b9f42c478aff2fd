package milter

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/scan"
)

// marked rewrites so that a test can see it.
type marked struct{}

func (marked) Domain() string { return "srs.example.org" }

func (marked) Forward(from mailaddr.Address, _ time.Time) mailaddr.Address {
	if from.Domain == "srs.example.org" {
		return from
	}
	return mailaddr.Address{LocalPart: "SRS0=" + from.Domain + "=" + from.LocalPart, Domain: "srs.example.org"}
}

var errStoreAway = errors.New("database is locked")

// forwarding has example.org for ours, and leaves for out@example.org.
func forwarding() *Forwarding {
	return &Forwarding{
		SRS: marked{},
		Outside: func(_ context.Context, rcpts []mailaddr.Address) (bool, error) {
			if slices.Contains(rcpts, mailaddr.Address{LocalPart: "broken", Domain: "example.org"}) {
				return false, errStoreAway
			}
			return slices.Contains(rcpts, mailaddr.Address{LocalPart: "out", Domain: "example.org"}), nil
		},
		Own: func(_ context.Context, domain string) (bool, error) {
			if domain == "away.example" {
				return false, errStoreAway
			}
			return domain == "example.org", nil
		},
	}
}

func TestForwardingSender(t *testing.T) {
	at := func(local, domain string) mailaddr.Address {
		return mailaddr.Address{LocalPart: local, Domain: domain}
	}
	stranger, inside, out := at("bob", "far.example"), at("alice", "example.org"), at("out", "example.org")
	for _, tc := range []struct {
		name string
		in   forwarded
		want string // "" for the sender that it has
		err  error
	}{
		{"to a mailbox", forwarded{scan.Inbound, false, stranger, []mailaddr.Address{inside}}, "", nil},
		{"to the outside", forwarded{scan.Inbound, false, stranger, []mailaddr.Address{out}}, "SRS0=far.example=bob@srs.example.org", nil},
		{"mixed", forwarded{scan.Inbound, false, stranger, []mailaddr.Address{inside, out}}, "SRS0=far.example=bob@srs.example.org", nil},
		{"a bounce", forwarded{scan.Inbound, true, mailaddr.Address{}, []mailaddr.Address{out}}, "", nil},
		{"a sender of ours", forwarded{scan.Inbound, false, inside, []mailaddr.Address{out}}, "", nil},
		{"rewritten before", forwarded{scan.Inbound, false, at("SRS0=x", "srs.example.org"), []mailaddr.Address{out}}, "", nil},
		{"submission", forwarded{scan.Outbound, false, stranger, []mailaddr.Address{out}}, "", nil},
		{"of this host", forwarded{scan.Local, false, stranger, []mailaddr.Address{out}}, "", nil},
		{"our spool", forwarded{scan.Own, false, stranger, []mailaddr.Address{out}}, "", nil},
		{"a bare sender", forwarded{scan.Inbound, false, at("root", ""), []mailaddr.Address{out}}, "", nil},
		{"a sender with a blank", forwarded{scan.Inbound, false, at("a b", "far.example"), []mailaddr.Address{out}}, `"SRS0=far.example=a b"@srs.example.org`, nil},
		{"a sender that nobody could read", forwarded{scan.Inbound, false, at(`"a`+"\x01"+`"`, "far.example"), []mailaddr.Address{out}}, "", nil},
		{"a sender with a line end", forwarded{scan.Inbound, false, at("a\nb", "far.example"), []mailaddr.Address{out}}, "", nil},
		{"nobody", forwarded{scan.Inbound, false, stranger, nil}, "", nil},
		{"the store is away", forwarded{scan.Inbound, false, stranger, []mailaddr.Address{at("broken", "example.org")}}, "", errStoreAway},
		{"or earlier", forwarded{scan.Inbound, false, at("x", "away.example"), []mailaddr.Address{out}}, "", errStoreAway},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := forwarding().sender(t.Context(), tc.in, time.Now())
			if got.String() != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("sender(%+v) = %s, %v, want %q, %v", tc.in, got, err, tc.want, tc.err)
			}
		})
	}
}

// off is SRS without a domain: the accounts are not asked.
type off struct{ marked }

func (off) Domain() string { return "" }

func TestForwardingOff(t *testing.T) {
	f := &Forwarding{SRS: off{}}
	p := forwarded{scan.Inbound, false, mailaddr.Address{LocalPart: "bob", Domain: "far.example"}, nil}
	if got, err := f.sender(t.Context(), p, time.Now()); !got.IsNull() || err != nil {
		t.Errorf("sender() = %s, %v", got, err)
	}
}

func TestChangeSenderOnTheWire(t *testing.T) {
	s := &session{g: &guard{}}
	s.changeSender(mailaddr.Address{LocalPart: "SRS0=a=b", Domain: "srs.example.org"})
	want := "\x00\x00\x00\x1be<SRS0=a=b@srs.example.org>\x00"
	want = string([]byte{0, 0, 0, byte(len(want) - 4)}) + want[4:]
	if string(s.g.edits) != want {
		t.Errorf("changeSender() wrote %q, want %q", s.g.edits, want)
	}
	if !respChangeFrom.edits() {
		t.Error("a change of the sender is no change to the guard")
	}
}

// TestNewSenderOff: without the part, or with an MTA that takes no new sender,
// nothing is asked.
func TestNewSenderOff(t *testing.T) {
	for name, tc := range map[string]struct {
		f       *Forwarding
		actions uint32
	}{
		"no part":                 {nil, actChangeFrom},
		"the MTA takes no change": {&Forwarding{}, actAddHeaders},
	} {
		s := &session{g: &guard{agreed: options{Actions: tc.actions}}}
		if got := s.newSender(tc.f); !got.IsNull() {
			t.Errorf("%s: newSender() = %s", name, got)
		}
	}
}
