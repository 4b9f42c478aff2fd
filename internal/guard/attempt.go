package guard

import (
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
	// Trusted says that the peer was told to trust the client, as a webmail: its
	// address is not blamed, and each account is guarded there by itself.
	Trusted bool
	// Admitted says that Admit let the attempt through, so that Report gives its
	// place back.
	Admitted bool
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
	// Refuse says that the password must not be looked at; from Report, that
	// the answer to this attempt is the refusal.
	Refuse bool
	// Observed says that it would be so in mode enforce.
	Observed bool
	// Ban is the reason for either. It need not be in the list of bans: a
	// closed pair of account and network is named by User, and only the
	// journal keeps it.
	Ban Ban
	// Delay is a tarpit: how much later than usual the answer goes out, at most
	// 5 s. The caller keeps the whole answer inside its own bound.
	Delay time.Duration
	// Mark tells different passwords of failures apart, in four hexadecimal
	// digits of a keyed hash. Only Report fills it in; it is for the journal,
	// so that guard replay can count as the guard did.
	Mark string
}
