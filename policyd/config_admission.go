package policyd

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// AdmissionConfig is the part of Config that says who may send as whom and who
// may write at all.
type AdmissionConfig struct {
	// RejectUnauthenticatedLocalSender refuses a sender of a domain of ours from
	// a client that did not log in.
	RejectUnauthenticatedLocalSender unit.Mode
	// AccessLists says what the allow and deny entries do.
	AccessLists unit.Mode
	// TrustedHosts may send without a login.
	TrustedHosts []TrustedHost
	Checks       ChecksConfig
	// Hostname is ours, handed in from the root of the configuration.
	Hostname string
	// Delimiter is recipient_delimiter.
	Delimiter string
	// MailRoot has the mailboxes (package maildir), handed in as Hostname.
	MailRoot string
}

// TrustedHost is clients that may send without a login, and as whom.
type TrustedHost struct {
	// Networks has the clients.
	Networks []netaddr.Prefix `yaml:"networks"`
	// Domains are those of their senders, each alone.
	Domains []string `yaml:"domains"`
	// Forwards says that they pass on mail of others, who may be ours: a
	// forwarder or a mailing list. Any sender is taken from them.
	Forwards bool `yaml:"forwards"`
	// Mode says what becomes of other senders; empty means enforce.
	Mode unit.Mode `yaml:"mode"`
}

// ChecksConfig has the mode of each named check of a client, a sender or a
// recipient at RCPT.
type ChecksConfig struct {
	// HeloIP refuses a HELO that is a bare address, or an address literal of
	// somebody else (RFC 5321 §4.1.3).
	HeloIP unit.Mode `yaml:"helo_ip"`
	// HeloOwnName refuses a stranger's HELO that is our own hostname.
	HeloOwnName unit.Mode `yaml:"helo_own_name"`
	// PTRMissing refuses a client whose address has no name at all.
	PTRMissing unit.Mode `yaml:"ptr_missing"`
	// SenderDomainMissing refuses a sender to whom no mail can go back: a domain
	// without MX and address, or one that says so (RFC 7505).
	SenderDomainMissing unit.Mode `yaml:"sender_domain_missing"`
	// UnknownRecipient refuses a recipient of a domain of ours that nobody has.
	UnknownRecipient unit.Mode `yaml:"unknown_recipient"`
	// ListPosting refuses who may not write to an address: the rules of
	// "gatepost alias post" and "gatepost alias block".
	ListPosting unit.Mode `yaml:"list_posting"`
	// OverQuota refuses a recipient whose mailboxes all are full, by their files
	// maildirsize.
	OverQuota unit.Mode `yaml:"over_quota"`
	// OverQuotaCode is the reply code for it: 452, and the sender tries again, or
	// 552.
	OverQuotaCode int `yaml:"over_quota_code"`
}

// DefaultChecks returns the modes that an empty file means. What can refuse
// mail that passed before is off, what only follows the administrator's commands
// is on.
func DefaultChecks() ChecksConfig {
	return ChecksConfig{
		HeloIP: unit.Off, HeloOwnName: unit.Off, PTRMissing: unit.Off, SenderDomainMissing: unit.Off, UnknownRecipient: unit.Off,
		ListPosting: unit.Enforce, OverQuota: unit.Off, OverQuotaCode: 452,
	}
}

// Validate reports all that is wrong with c, by key.
func (c AdmissionConfig) Validate() error {
	errs := []error{
		validMode("reject_unauthenticated_local_sender", c.RejectUnauthenticatedLocalSender),
		validMode("access_lists", c.AccessLists),
	}
	for _, m := range c.Checks.modes() {
		errs = append(errs, validMode("checks."+m.name, m.mode))
	}
	if n := c.Checks.OverQuotaCode; n != 452 && n != 552 {
		errs = append(errs, config.Invalid("checks.over_quota_code", "%d is not 452 or 552", n))
	}
	for i, h := range c.TrustedHosts {
		errs = append(errs, config.Under(fmt.Sprintf("trusted_hosts[%d]", i), h.validate()))
	}
	return errors.Join(errs...)
}

// namedMode is a check by its name.
type namedMode struct {
	name string
	mode unit.Mode
}

func (c ChecksConfig) modes() []namedMode {
	return []namedMode{
		{ruleHeloIP, c.HeloIP}, {ruleHeloOwnName, c.HeloOwnName}, {rulePTRMissing, c.PTRMissing},
		{ruleSenderDomain, c.SenderDomainMissing}, {ruleUnknownRecipient, c.UnknownRecipient}, {ruleListPosting, c.ListPosting},
		{ruleOverQuota, c.OverQuota},
	}
}

func (h TrustedHost) validate() error {
	var errs []error
	if h.Mode != "" {
		errs = append(errs, validMode("mode", h.Mode))
	}
	if len(h.Networks) == 0 {
		errs = append(errs, config.Invalid("networks", "a host needs a network"))
	}
	for _, p := range h.Networks {
		if !p.IsValid() || p.Prefix != p.Masked() || p.Bits() == 0 {
			errs = append(errs, config.Invalid("networks", "%s is not a network of hosts", p))
		}
	}
	if len(h.Domains) == 0 && !h.Forwards {
		errs = append(errs, config.Invalid("domains", "name the domains that the hosts may send for, or set forwards: true"))
	}
	for _, d := range h.Domains {
		if got, err := mailaddr.ParseDomain(d); err != nil || got != d {
			errs = append(errs, config.Invalid("domains", "%q is not a domain in lower case", d))
		}
	}
	return errors.Join(errs...)
}

// has reports whether the client is one of h.
func (h *TrustedHost) has(client netip.Addr) bool {
	for _, p := range h.Networks {
		if client.IsValid() && p.Contains(client) {
			return true
		}
	}
	return false
}
