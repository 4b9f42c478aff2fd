package milter

import (
	"errors"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config is the section "milter" of the configuration file. The fields without
// a yaml name come from other sections; who reads the file fills them in.
type Config struct {
	// MaxConnections is the cap for each listener, so that strangers on port
	// 25 cannot use up those of submission. Read when Serve starts.
	MaxConnections int `yaml:"max_connections"`
	// IdleTimeout is how long the MTA may say nothing between packets. It says
	// nothing while a client sends its message, which may take hours.
	IdleTimeout unit.Duration `yaml:"idle_timeout"`
	// FrameTimeout is for one packet: its rest once it has begun, the first
	// one of a connection, and each answer of ours.
	FrameTimeout unit.Duration `yaml:"frame_timeout"`
	// MessageTimeout is for all that is asked about one message at its end. It
	// has to be below Postfix's milter_content_timeout (300s).
	MessageTimeout unit.Duration `yaml:"message_timeout"`
	// Grace is how long a session may go on after the end of Serve was asked
	// for. Postfix keeps one as long as its SMTP session, and gives 451 when
	// it is cut.
	Grace unit.Duration `yaml:"grace"`

	// MaxHeaderBytes is the largest header section that is taken, the field
	// names included; a larger one is refused with 552.
	MaxHeaderBytes unit.Size `yaml:"max_header_bytes"`
	// SpoolDirectory holds messages larger than SpoolMemory, as unlinked
	// files; "" is the system's temporary directory.
	SpoolDirectory string `yaml:"-"`
	// SpoolMemory is what one message may hold of memory.
	SpoolMemory unit.Size `yaml:"spool_memory"`
	// ScanBytes is the first part of a message that rules see.
	ScanBytes unit.Size `yaml:"scan_bytes"`

	// DMARC says what the policy of the domain in From does.
	DMARC PolicyMode `yaml:"dmarc"`
	// DMARCRejectAlone lets p=reject refuse a message for that alone, which
	// RFC 9989 §7.4 forbids: mailing lists break it for honest senders.
	DMARCRejectAlone bool `yaml:"dmarc_reject_alone"`
	// RejectForgedLocalSender refuses mail from outside whose author is of a domain
	// of ours, where nothing vouches for it: not DMARC, SPF or DKIM, no trusted
	// forwarder or list. Off leaves it at the points of OWN_DOMAIN_FORGED, which has
	// to count for the others to do anything.
	RejectForgedLocalSender unit.Mode `yaml:"reject_forged_local_sender"`

	// ReceivedSPF also writes Received-SPF (RFC 7208 §9.1), for programs that do
	// not read Authentication-Results. Those of others are taken off then: who
	// reads the field cannot tell who wrote it.
	ReceivedSPF bool `yaml:"received_spf"`

	// ARCSeal is the domain whose key seals mail from outside that is let in
	// (RFC 8617); "" seals nothing.
	ARCSeal string `yaml:"arc_seal"`

	// SubmissionNetworks may send without SASL on the submission listener.
	SubmissionNetworks []SubmissionNetwork `yaml:"submission_networks"`
	// RemoveHeadersOutbound are the fields that tell strangers what the
	// sender's computer is; they are taken out of outbound mail.
	RemoveHeadersOutbound []string `yaml:"remove_headers_outbound"`

	// AuthservID is ours in Authentication-Results (RFC 8601 §2.5).
	AuthservID string `yaml:"-"`
	// LocalSenders are the domains that programs on this host may sign as.
	LocalSenders []string `yaml:"-"`
	// Scan holds the scores and thresholds of the rules.
	Scan scan.Config `yaml:"-"`
}

// SubmissionNetwork says that the hosts in Networks may send as Domains without
// logging in: a printer, an application server.
type SubmissionNetwork struct {
	Networks []netaddr.Prefix `yaml:"networks"`
	Domains  []string         `yaml:"domains"`
}

// Default returns the settings that a file leaves out.
func Default() Config {
	return Config{
		MaxConnections:          500,
		IdleTimeout:             unit.Duration(2 * time.Hour),
		FrameTimeout:            unit.Duration(time.Minute),
		MessageTimeout:          unit.Duration(time.Minute),
		Grace:                   unit.Duration(5 * time.Second),
		MaxHeaderBytes:          1 << 20,
		SpoolMemory:             256 << 10,
		ScanBytes:               4 << 20,
		DMARC:                   PolicyScores,
		RejectForgedLocalSender: unit.Off,
		RemoveHeadersOutbound:   []string{"X-Originating-IP", "User-Agent"},
		AuthservID:              "localhost",
		Scan:                    scan.Default(),
	}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.Invalid(key, format, args...))
	}
	if c.MaxConnections < 1 || c.MaxConnections > 100000 {
		bad("max_connections", "%d is not between 1 and 100000", c.MaxConnections)
	}
	for _, d := range []struct {
		key      string
		v        unit.Duration
		min, max time.Duration
	}{
		{"idle_timeout", c.IdleTimeout, time.Second, 24 * time.Hour},
		{"frame_timeout", c.FrameTimeout, time.Second, time.Hour},
		{"message_timeout", c.MessageTimeout, time.Second, 4 * time.Minute},
		{"grace", c.Grace, 0, time.Hour},
	} {
		if v := d.v.Std(); v < d.min || v > d.max {
			bad(d.key, "%s is not between %s and %s", d.v, unit.Duration(d.min), unit.Duration(d.max))
		}
	}
	for _, z := range []struct {
		key      string
		v        unit.Size
		min, max unit.Size
	}{
		{"max_header_bytes", c.MaxHeaderBytes, 64 << 10, 64 << 20},
		{"spool_memory", c.SpoolMemory, 0, 1 << 30},
		{"scan_bytes", c.ScanBytes, 64 << 10, 1 << 30},
	} {
		if z.v < z.min || z.v > z.max {
			bad(z.key, "%s is not between %s and %s", z.v, z.min, z.max)
		}
	}
	if c.DMARC != PolicyScores && c.DMARC != PolicyEnforced {
		bad("dmarc", "%q is neither %s nor %s", c.DMARC, PolicyScores, PolicyEnforced)
	}
	if c.DMARCRejectAlone && c.DMARC == PolicyScores {
		bad("dmarc_reject_alone", "it has no effect without dmarc: enforce")
	}
	if m := c.RejectForgedLocalSender; m != unit.Off && m != unit.Observe && m != unit.Enforce {
		bad("reject_forged_local_sender", "%q is not a mode: use off, observe or enforce", string(m))
	}
	if _, err := mailaddr.ParseDomain(c.ARCSeal); err != nil && c.ARCSeal != "" {
		bad("arc_seal", "%q is not a domain", c.ARCSeal)
	}
	for i, n := range c.SubmissionNetworks {
		errs = append(errs, config.Under("submission_networks["+itoa(i)+"]", n.validate()))
	}
	for i, name := range c.RemoveHeadersOutbound {
		if !header.ValidName(name) || needed(name) {
			bad("remove_headers_outbound["+itoa(i)+"]", "%q is not a header field that can be removed", name)
		}
	}
	if !authres.Carries(c.AuthservID) || strings.ContainsAny(c.AuthservID, " ;\"") {
		bad("authserv_id", "%q is not a host name", c.AuthservID)
	}
	for i, d := range c.LocalSenders {
		if _, err := mailaddr.ParseDomain(d); err != nil {
			bad("local_senders["+itoa(i)+"]", "%q is not a domain", d)
		}
	}
	return errors.Join(errs...)
}

func (n SubmissionNetwork) validate() error {
	var errs []error
	if len(n.Networks) == 0 {
		errs = append(errs, config.Invalid("networks", "at least one network has to be named"))
	}
	for i, p := range n.Networks {
		if !p.IsValid() || p.Bits() == 0 || p.Prefix != p.Masked() {
			errs = append(errs, config.Invalid("networks["+itoa(i)+"]", "%s is not a network such as 192.0.2.0/24", p))
		}
	}
	if len(n.Domains) == 0 {
		errs = append(errs, config.Invalid("domains", "the domains that this network may send for have to be named"))
	}
	for i, d := range n.Domains {
		if _, err := mailaddr.ParseDomain(d); err != nil {
			errs = append(errs, config.Invalid("domains["+itoa(i)+"]", "%q is not a domain", d))
		}
	}
	return errors.Join(errs...)
}
