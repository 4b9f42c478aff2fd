package guard

import (
	"context"
	"net/netip"
)

// Kind is what happened on port 25, or what another program saw.
type Kind string

const (
	// UnknownRecipient is a RCPT on port 25 for an address that nobody has.
	UnknownRecipient Kind = "unknown-recipient"
	// RelayAttempt is a RCPT on port 25 for a domain that is not ours.
	RelayAttempt Kind = "relay-attempt"
	// SpamRefused is a message that the milter refused for its score.
	SpamRefused Kind = "spam-refused"
	// Accepted is a message that was accepted and whose author's domain passed
	// SPF or DKIM: its client is not closed out of port 25 for 30 days.
	Accepted Kind = "accepted"
	// Reported is a failure that another program saw, such as a webmail.
	Reported Kind = "reported"
)

// Event is one thing that says something of a client.
type Event struct {
	Kind Kind
	// Addr is the client, which the peer itself gave.
	Addr netip.Addr
	// User is an account where the event has one: the recipient who is
	// unknown, or who another program names.
	User string
	// Service is what other programs report of, such as ssh or web.
	Service string
	// Score is that of the message.
	Score float64
}

// MX is port 25 as a service, beside those of Attempt: Postfix says smtp for
// every login, also on the submission ports.
const MX = "mx"

// Note takes an event. It asks memory only.
func (g *Guard) Note(_ context.Context, _ Event) Decision { return Decision{} }

// CheckClient says whether a client may speak to a service at all: MX, or
// one of those of Attempt. It asks memory only.
func (g *Guard) CheckClient(ctx context.Context, addr netip.Addr, service string) Decision {
	if service == MX {
		return Decision{}
	}
	return g.Check(ctx, Attempt{Addr: addr, Service: service})
}
