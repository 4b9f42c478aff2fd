package guard

import (
	"context"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// Attempt is one login, as Postfix, Dovecot or another program tells of it.
type Attempt struct {
	// Addr is the address of the client, which the peer itself gave.
	Addr netip.Addr
	// User is the folded address of an account, empty where what was typed is
	// none.
	User string
	// Service is the word on the wire: smtp, submission, imap, pop3, sieve.
	Service string
	Mech    string
	// Password is empty where nobody saw it, as with SCRAM: each failure then
	// counts as a different one, unless PasswordHash tells them apart.
	Password secret.Value
	// PasswordHash is the hash that Dovecot's auth_policy sends: 12 bits of it.
	PasswordHash string
}

// Outcome says how an attempt ended.
type Outcome int

const (
	// Abandoned means that nobody knows whether the password was right: a
	// fault of ours, or the peer is gone.
	Abandoned Outcome = iota
	// Right means that the password was right, whatever else refused the login.
	Right
	// Wrong means that the account exists and the password was another.
	Wrong
	// NoAccount means that nobody has that name.
	NoAccount
)

// Decision is what the guard says of a client.
type Decision struct {
	// Refuse says that the password must not be looked at.
	Refuse bool
	// Observed says that it would be so in mode enforce.
	Observed bool
	// Ban is the reason for either.
	Ban Ban
	// Delay is a tarpit: how much later than usual the answer goes out.
	Delay time.Duration
}

// Admit is asked just before a password is hashed, and may wait until guesses
// that are under way leave room below the line, or ctx ends. Unless it says
// Refuse, Report has to be called once for the same attempt.
func (g *Guard) Admit(ctx context.Context, a Attempt) Decision { return g.Check(ctx, a) }

// Report tells how an attempt ended. A ban that follows from it holds before
// Report returns.
func (g *Guard) Report(ctx context.Context, a Attempt, o Outcome) Decision {
	switch o {
	case Wrong, NoAccount:
		return g.fail(ctx, a)
	case Right:
		g.success(ctx, a.Addr, a.User)
	}
	return Decision{}
}
