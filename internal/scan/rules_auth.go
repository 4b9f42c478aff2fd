package scan

import (
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/freemail"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
)

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

// authNone: no domain answers for the message: no policy of SPF, no signature,
// none of DMARC. What could not be asked is no reason.
func authNone(f *facts) outcome {
	a := &f.Auth
	spf := a.SPF.MailFrom.Result
	if !a.DKIMChecked || !a.DMARCChecked || spf != authres.None && spf != authres.PermError && spf != authres.Neutral {
		return outcome{}
	}
	signed := slices.ContainsFunc(a.DKIM, func(d mailauth.DKIM) bool { return d.Result != authres.None })
	return when(!signed && a.DMARC.Result == authres.None)
}

// directSPF: the domain forbids this client, and nobody stands between that
// could have forwarded the message.
func directSPF(f *facts) outcome {
	r := f.Auth.SPF.MailFrom.Result
	if r != authres.Fail && r != authres.SoftFail || !f.Client.Addr.IsValid() || f.has("Received") || f.anySignature() {
		return outcome{}
	}
	return yes(f.Auth.SPF.MailFrom.Domain)
}

// freemailForged: the large providers sign all mail of their users. What
// neither they nor SPF vouch for comes from elsewhere, whatever their policy
// asks for. Lists break signatures, and can prove that they are lists.
func freemailForged(f *facts) outcome {
	h := f.head()
	if !freemail.Proves(h.from.Addr.Domain) || f.proof() != unproved || f.provedList() {
		return outcome{}
	}
	return yes(h.from.Addr.Domain)
}

// envelopeOther: who sends is of another organization than who wrote. Services
// for bulk mail do so; with proof of the author it says nothing.
func envelopeOther(f *facts) outcome {
	h := f.head()
	d := f.MailFrom.Domain
	if d == "" || h.fromOrg == "" || organization(d) == h.fromOrg || h.list || f.proof() == proved || forwardedMail(f).hit ||
		freemail.Provider(d) != "" && freemail.Provider(d) == freemail.Provider(h.from.Addr.Domain) {
		return outcome{}
	}
	return yes(d, h.from.Addr.Domain)
}

// envelopeNotFQDN: nobody could answer (RFC 5321 §2.3.5).
func envelopeNotFQDN(f *facts) outcome {
	d := f.MailFrom.Domain
	bare := d == "" && !f.MailFrom.IsNull() || d != "" && !strings.HasPrefix(d, "[") && !strings.Contains(d, ".")
	if !bare {
		return outcome{}
	}
	return yes(f.MailFrom.String())
}
