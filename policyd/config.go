package policyd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/greylist"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/tlspolicy"
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
	// Held is what becomes of mail of an account whose sending is held: defer,
	// reject, or hold, Postfix's queue of that name.
	Held HeldMail `yaml:"held"`
	// RejectUnauthenticatedLocalSender refuses a sender of a domain of ours from a
	// client that did not log in.
	RejectUnauthenticatedLocalSender unit.Mode `yaml:"reject_unauthenticated_local_sender"`
	// AccessLists says what the allow and deny entries do.
	AccessLists unit.Mode `yaml:"access_lists"`
	// TrustedHosts may send without a login.
	TrustedHosts []TrustedHost `yaml:"trusted_hosts"`
	// WatchRelayAttempts has the guard count a stranger's recipients of a domain
	// that is neither of the accounts nor in OtherDomains. It needs a service that
	// Postfix asks before reject_unauth_destination.
	WatchRelayAttempts bool `yaml:"watch_relay_attempts"`
	// OtherDomains are those of mydestination and relay_domains.
	OtherDomains []string `yaml:"other_domains"`
	// Checks are those of clients, senders and recipients at RCPT.
	Checks ChecksConfig `yaml:"checks"`
	// GeoFile has prefix,asn,country of addresses for the rules (package geo).
	GeoFile string `yaml:"geo_file"`
	// Greylist has strangers come back.
	Greylist greylist.Config `yaml:"greylist"`
	// Limits bound what somebody may do in a time window.
	Limits []limit.Limit `yaml:"limits"`
	// Groups are names for the people of overrides: addresses, domains
	// ("@example.org"), networks.
	Groups map[string][]string `yaml:"groups"`
	// Profiles say what holds for a policy_context. One without a profile has
	// all limits and checks.
	Profiles map[string]Profile `yaml:"profiles"`
	// DefaultAction answers outbound mail that can not be judged, because the
	// accounts are away or the time is over. Inbound mail gets DUNNO then.
	DefaultAction string `yaml:"default_action"`
	// Rules are actions of the administrator; the first that matches gives the
	// action, unless the mail is refused anyway.
	Rules []Rule `yaml:"rules"`

	// SRS, TLSPolicy and TransportMaps are what Postfix asks the socketmap server
	// for besides the accounts.
	SRS           SRSConfig        `yaml:"srs"`
	TLSPolicy     tlspolicy.Config `yaml:"tls_policy"`
	TransportMaps []Route          `yaml:"transport_maps"`

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
	// Hostname is ours, handed in from there, too.
	Hostname string `yaml:"-"`
	// MailRoot has the mailboxes, handed in from there, too; empty: none is known.
	MailRoot string `yaml:"-"`
}

// Profile is what holds for the requests with one policy_context.
type Profile struct {
	// Outbound says that the mail is a user's or a program's of ours even without
	// a login. The profile "submission" always is.
	Outbound bool `yaml:"outbound"`
	// Limits are the names of the limits that apply; absent means all.
	Limits *[]string `yaml:"limits"`
	// RejectSenderLoginMismatch and RejectNullSender take the place of the
	// general ones; empty means as those.
	RejectSenderLoginMismatch unit.Mode `yaml:"reject_sender_login_mismatch"`
	RejectNullSender          unit.Mode `yaml:"reject_null_sender"`
	// Rules are asked unless this is off.
	Rules unit.Mode `yaml:"rules"`
}

// Default returns the configuration that an empty file means.
func Default() Config {
	return Config{
		RejectSenderLoginMismatch: unit.Enforce,
		RejectNullSender:          unit.Enforce,
		Held:                      HeldDefer,
		Limits: []limit.Limit{
			{Name: "outgoing", By: limit.ByUser, Rate: limit.Per(200, time.Hour), Mode: unit.Enforce},
		},
		DefaultAction:                    "451 4.3.0 temporary fault here, please try again later",
		RejectUnauthenticatedLocalSender: unit.Off,
		AccessLists:                      unit.Enforce,
		Checks:                           DefaultChecks(),
		Greylist:                         greylist.Default(),
		SRS:                              DefaultSRS(),
		TLSPolicy:                        tlspolicy.Default(),
		MaxConnections:                   1000,
		IdleTimeout:                      unit.Duration(20 * time.Minute),
		RequestTimeout:                   unit.Duration(10 * time.Second),
		Grace:                            unit.Duration(5 * time.Second),
		RecipientDelimiter:               "+",
	}
}

// Validate reports all that is wrong with c, by key.
func (c Config) Validate() error {
	_, err := c.policy()
	return errors.Join(err, c.validateTables(), c.validateBounds())
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

// admissionConfig collects what says who may write at all.
func (c Config) admissionConfig() AdmissionConfig {
	return AdmissionConfig{
		RejectUnauthenticatedLocalSender: c.RejectUnauthenticatedLocalSender,
		AccessLists:                      c.AccessLists, TrustedHosts: c.TrustedHosts, Checks: c.Checks,
		Hostname: c.Hostname, Delimiter: c.RecipientDelimiter, MailRoot: c.MailRoot,
	}
}

// GreylistConfig is the greylist's configuration with what the root of the file
// hands down.
func (c Config) GreylistConfig() greylist.Config {
	g := c.Greylist
	g.RecipientDelimiter = c.RecipientDelimiter
	return g
}

// ActiveLimits returns the limits with the members of groups in their
// overrides, for lists.
func (c Config) ActiveLimits() []limit.Limit {
	out, err := limit.Expand(c.Limits, c.Groups)
	if err != nil {
		return c.Limits // Validate says so
	}
	return out
}

// policy builds what Decide needs, and reports what of it is wrong.
func (c Config) policy() (Policy, error) {
	p := Policy{rules: map[State][]rule{}, held: c.Held}
	errs := []error{
		validMode("reject_sender_login_mismatch", c.RejectSenderLoginMismatch),
		validMode("reject_null_sender", c.RejectNullSender),
		c.Held.validate(),
		c.validateGroups(), c.validateOtherDomains(),
		config.Under("limits", limit.ValidateAll(c.Limits)),
		c.buildRules(&p),
		c.admissionConfig().Validate(),
		config.Under("greylist", c.GreylistConfig().Validate()),
	}
	p.admission = c.admissionConfig().build()
	limits, err := limit.Expand(c.Limits, c.Groups)
	errs = append(errs, config.Under("limits", err))
	if p.late, err = ParseAction(c.DefaultAction); err != nil {
		errs = append(errs, config.Invalid("default_action", "%v", err))
	} else if p.late != Dunno() && !p.late.Refuses() && p.late.word != ActionHold {
		errs = append(errs, config.Invalid("default_action", "%q is not a refusal, HOLD or DUNNO", c.DefaultAction))
	}
	if err := errors.Join(errs...); err != nil {
		return p, err
	}
	set := limit.Compile(limits)
	p.other = c.profile("", Profile{}, set)
	p.profiles = map[string]*profile{contextSubmission: c.profile(contextSubmission, Profile{}, set)}
	for name, pr := range c.Profiles {
		errs = append(errs, config.Under("profiles."+name, c.validateProfile(name, pr)))
		p.profiles[name] = c.profile(name, pr, set)
	}
	return p, errors.Join(errs...)
}

// profile builds one profile, which is valid, of all limits.
func (c Config) profile(name string, pr Profile, set *limit.Set) *profile {
	out := &profile{
		outbound:    pr.Outbound || name == contextSubmission,
		senderLogin: c.RejectSenderLoginMismatch,
		nullSender:  c.RejectNullSender,
		rules:       pr.Rules != unit.Off,
		limits:      set,
	}
	if pr.RejectSenderLoginMismatch != "" {
		out.senderLogin = pr.RejectSenderLoginMismatch
	}
	if pr.RejectNullSender != "" {
		out.nullSender = pr.RejectNullSender
	}
	if pr.Limits != nil {
		out.limits = set.Only(func(l *limit.Limit) bool { return slices.Contains(*pr.Limits, l.Name) })
	}
	out.bytes = out.limits.Only(func(l *limit.Limit) bool { return l.Counts() == limit.Bytes })
	out.inbound = out.limits.Concerns(false)
	out.needsRcpts, out.needsNew = out.limits.NeedsRcpts(), out.limits.NeedsNew()
	out.needsSender = out.limits.Uses(limit.BySender, limit.BySenderDomain)
	out.needsUser = out.limits.Uses(limit.ByUser, limit.ByUserDomain)
	return out
}

func (c Config) validateProfile(name string, pr Profile) error {
	var errs []error
	if validActionText(name) != nil || len(name) > 64 {
		errs = append(errs, config.Invalid("", "%q is not a policy_context of at most 64 bytes", name))
	}
	if pr.Limits != nil {
		for _, l := range *pr.Limits {
			if !slices.ContainsFunc(c.Limits, func(k limit.Limit) bool { return k.Name == l }) {
				errs = append(errs, config.Invalid("limits", "%q is not the name of a limit", l))
			}
		}
	}
	for _, m := range []struct {
		key  string
		mode unit.Mode
	}{
		{"reject_sender_login_mismatch", pr.RejectSenderLoginMismatch},
		{"reject_null_sender", pr.RejectNullSender}, {"rules", pr.Rules},
	} {
		if m.mode != "" {
			errs = append(errs, validMode(m.key, m.mode))
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateOtherDomains() error {
	var errs []error
	for i, d := range c.OtherDomains {
		if got, err := mailaddr.ParseDomain(d); err != nil || got != d {
			errs = append(errs, config.Invalid(fmt.Sprintf("other_domains[%d]", i), "%q is not a domain in lower case", d))
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateGroups() error {
	var errs []error
	for name, members := range c.Groups {
		if limit.ValidMember(name) == nil || name == "" || strings.HasPrefix(name, limit.GroupPrefix) {
			errs = append(errs, config.Invalid("groups", "%q looks like an address, a domain or a network", name))
		}
		for _, m := range members {
			if err := limit.ValidMember(m); err != nil {
				errs = append(errs, config.Invalid("groups."+name, "%v", err))
			}
		}
	}
	return errors.Join(errs...)
}

// buildRules fills p with the rules by the state that they are asked in.
func (c Config) buildRules(p *Policy) error {
	var errs []error
	if len(c.Rules) > maxRules {
		errs = append(errs, config.Invalid("rules", "%d rules are more than %d", len(c.Rules), maxRules))
	}
	seen := map[string]bool{}
	key := func(i int) string { return fmt.Sprintf("rules[%d]", i) }
	all := make([]*rule, len(c.Rules))
	for i, r := range c.Rules {
		key := key(i)
		built, err := r.build()
		all[i] = &built
		errs = append(errs, config.Under(key, err))
		if seen[r.Name] {
			errs = append(errs, config.Invalid(key+".name", "%q is the name of another rule", r.Name))
		}
		seen[r.Name] = true
	}
	errs = append(errs, compileRules(all, nil, key))
	for _, r := range all {
		if r.mode != unit.Off {
			p.rules[r.state] = append(p.rules[r.state], *r)
		}
	}
	p.use()
	return errors.Join(errs...)
}

func validMode(key string, m unit.Mode) error {
	var v unit.Mode
	if err := v.UnmarshalText([]byte(m)); err != nil {
		return config.Invalid(key, "%v", err)
	}
	return nil
}
