package policyd

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config is the configuration of the policy server and of the socketmap
// server.
type Config struct {
	// RejectSenderLoginMismatch refuses a sender that the logged-in user may
	// not use, like Postfix's restriction of that name.
	RejectSenderLoginMismatch unit.Mode `yaml:"reject_sender_login_mismatch"`
	// RejectNullSender refuses the null sender from logged-in users: it is how
	// stolen accounts hide. Some mail programs send read receipts with it.
	RejectNullSender unit.Mode `yaml:"reject_null_sender"`
	// Limits bound the recipients of outbound mail.
	Limits []limit.Limit `yaml:"limits"`
	// Rules are actions of the administrator; the first that matches gives the
	// action, unless the mail is refused anyway.
	Rules []Rule `yaml:"rules"`

	// MaxConnections bounds the open connections of each socket. When one more
	// comes, the one that has been idle for longest is closed.
	MaxConnections int `yaml:"max_connections"`
	// IdleTimeout closes a connection without a request. Postfix does so itself
	// after 300 s (smtpd_policy_service_max_idle).
	IdleTimeout unit.Duration `yaml:"idle_timeout"`
	// RequestTimeout bounds the reading, the answering and the writing of one
	// request, each.
	RequestTimeout unit.Duration `yaml:"request_timeout"`
	// Grace is how long requests in hand may take after the end.
	Grace unit.Duration `yaml:"grace"`

	// RecipientDelimiter is Postfix's recipient_delimiter, handed in from the
	// root of the configuration; each of its characters splits.
	RecipientDelimiter string `yaml:"-"`
}

// Default returns the configuration that an empty file means.
func Default() Config {
	return Config{
		RejectSenderLoginMismatch: unit.Enforce,
		RejectNullSender:          unit.Enforce,
		Limits: []limit.Limit{
			{Name: "outgoing", By: limit.ByUser, Rate: unit.Rate{Count: 200, Window: time.Hour}, Mode: unit.Enforce},
		},
		MaxConnections:     1000,
		IdleTimeout:        unit.Duration(20 * time.Minute),
		RequestTimeout:     unit.Duration(10 * time.Second),
		Grace:              unit.Duration(5 * time.Second),
		RecipientDelimiter: "+",
	}
}

// Validate reports all that is wrong with c, by key.
func (c Config) Validate() error {
	_, err := c.policy()
	return errors.Join(err, c.validateBounds())
}

func (c Config) validateBounds() error {
	var errs []error
	if c.MaxConnections < 1 || c.MaxConnections > 100_000 {
		errs = append(errs, config.Invalid("max_connections", "%d is not between 1 and 100000", c.MaxConnections))
	}
	for _, d := range []struct {
		key      string
		value    unit.Duration
		min, max time.Duration
	}{
		{"idle_timeout", c.IdleTimeout, time.Second, 24 * time.Hour},
		{"request_timeout", c.RequestTimeout, 100 * time.Millisecond, 100 * time.Second},
		{"grace", c.Grace, 0, time.Minute},
	} {
		if d.value.Std() < d.min || d.value.Std() > d.max {
			errs = append(errs, config.Invalid(d.key, "%s is not between %s and %s", d.value, unit.Duration(d.min), unit.Duration(d.max)))
		}
	}
	return errors.Join(errs...)
}

// Warnings lists what is allowed and still worth a second look: every rule
// that can permit relaying.
func (c Config) Warnings() []string {
	var out []string
	for i, r := range c.Rules {
		if r.PermitsRelay && r.Mode != unit.Off {
			out = append(out, fmt.Sprintf("rules[%d]: rule %s can answer %q, which permits relaying where the service stands before reject_unauth_destination", i, r.Name, r.Action))
		}
	}
	return out
}

// policy builds what Decide needs, and reports what of it is wrong.
func (c Config) policy() (Policy, error) {
	p := Policy{
		SenderLogin: c.RejectSenderLoginMismatch,
		NullSender:  c.RejectNullSender,
		Limits:      c.Limits,
	}
	errs := []error{
		validMode("reject_sender_login_mismatch", c.RejectSenderLoginMismatch),
		validMode("reject_null_sender", c.RejectNullSender),
		config.Under("limits", limit.ValidateAll(c.Limits)),
	}
	if len(c.Rules) > maxRules {
		errs = append(errs, config.Invalid("rules", "%d rules are more than %d", len(c.Rules), maxRules))
	}
	seen := map[string]bool{}
	for i, r := range c.Rules {
		key := fmt.Sprintf("rules[%d]", i)
		built, err := r.build()
		errs = append(errs, config.Under(key, err))
		if seen[r.Name] {
			errs = append(errs, config.Invalid(key+".name", "%q is the name of another rule", r.Name))
		}
		seen[r.Name] = true
		p.rules = append(p.rules, built)
	}
	return p, errors.Join(errs...)
}

func validMode(key string, m unit.Mode) error {
	var v unit.Mode
	if err := v.UnmarshalText([]byte(m)); err != nil {
		return config.Invalid(key, "%v", err)
	}
	return nil
}
