package scan

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
)

// heloIP: an address literal is legal for a client without a name (RFC 5321
// §4.1.3), and no mail server is one; a bare address is not legal at all.
func heloIP(f *facts) outcome {
	h := strings.TrimSuffix(strings.TrimPrefix(f.Client.Helo, "["), "]")
	if len(h) > 5 && strings.EqualFold(h[:5], "IPv6:") {
		h = h[5:]
	}
	if _, err := netip.ParseAddr(h); err != nil {
		return outcome{}
	}
	return yes(f.Client.Helo)
}

// heloBare: the name has to be a fully-qualified domain (RFC 5321 §2.3.5).
func heloBare(f *facts) outcome {
	h := strings.TrimSuffix(f.Client.Helo, ".")
	bare := h != "" && h[0] != '[' && !strings.ContainsAny(h, ".:")
	bare = bare || strings.EqualFold(h, "localhost.localdomain")
	if !bare {
		return outcome{}
	}
	return yes(f.Client.Helo)
}

func ptrMissing(f *facts) outcome {
	r := f.Auth.IPRev.Result
	return when(r == authres.Fail || r == authres.PermError)
}

func ptrUnknown(f *facts) outcome { return when(f.Auth.IPRev.Result == authres.TempError) }

// spf is a rule about the MAIL FROM identity (RFC 7208 §2.4).
func spf(f *facts, want authres.Result) outcome {
	m := f.Auth.SPF.MailFrom
	if m.Result != want {
		return outcome{}
	}
	return yes(m.Domain)
}

func spfPass(f *facts) outcome     { return spf(f, authres.Pass) }
func spfFail(f *facts) outcome     { return spf(f, authres.Fail) }
func spfSoftFail(f *facts) outcome { return spf(f, authres.SoftFail) }
func spfUnknown(f *facts) outcome  { return spf(f, authres.TempError) }

// signers returns the domains of the signatures with one of these results.
func (f *facts) signers(results ...authres.Result) []string {
	var ds []string
	for _, d := range f.Auth.DKIM {
		if slices.Contains(results, d.Result) && !slices.Contains(ds, d.Domain) {
			ds = append(ds, d.Domain)
		}
	}
	return ds
}

func dkimPass(f *facts) outcome {
	if ds := f.signers(authres.Pass); ds != nil {
		return yes(ds...)
	}
	return outcome{}
}

// dkimUnknown: as long as one signature may yet turn out right nothing is wrong.
func dkimUnknown(f *facts) outcome {
	if ds := f.signers(authres.TempError); ds != nil && f.signers(authres.Pass) == nil {
		return yes(ds...)
	}
	return outcome{}
}

func dkimFail(f *facts) outcome {
	if f.signers(authres.Pass, authres.TempError) != nil {
		return outcome{}
	}
	if ds := f.signers(authres.Fail, authres.PermError); ds != nil {
		return yes(ds...)
	}
	return outcome{}
}

func dmarcPass(f *facts) outcome { return f.policy(authres.Pass) }

func dmarcUnclear(f *facts) outcome { return f.policy(authres.PermError) }

func dmarcUnknown(f *facts) outcome { return f.policy(authres.TempError) }

// policy is a rule about the result of DMARC.
func (f *facts) policy(want authres.Result) outcome {
	d := f.Auth.DMARC
	if d.Result != want {
		return outcome{}
	}
	return yes(told(d.Domain, d.Reason)...)
}

// dmarcFail is a rule about mail that fails where this policy holds, with
// nobody who is trusted to have passed it on.
func dmarcFail(want dmarc.Policy) func(*facts) outcome {
	return func(f *facts) outcome {
		d := f.Auth.DMARC
		if d.Result != authres.Fail || d.Applied.Effective != want || f.Auth.Forwarder.Domain != "" {
			return outcome{}
		}
		return yes(told(d.Domain, d.Applied.Tag+"="+string(d.Applied.Published))...)
	}
}

func forwardedTrusted(f *facts) outcome {
	w := f.Auth.Forwarder
	if w.Domain == "" {
		return outcome{}
	}
	return yes(w.Domain, string(w.Method))
}

// told returns those of options that say something.
func told(options ...string) []string {
	return slices.DeleteFunc(options, func(s string) bool { return s == "" })
}
