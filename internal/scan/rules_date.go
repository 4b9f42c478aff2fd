package scan

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// date returns the Date field as a time; ok is false when there is none, and
// the time zero when it cannot be read.
func (f *facts) date() (t time.Time, ok bool) {
	h := f.head()
	return h.date, h.dated
}

func invalidDate(f *facts) outcome {
	t, ok := f.date()
	return when(ok && t.IsZero())
}

func dateInFuture(f *facts) outcome {
	t, ok := f.date()
	return when(ok && !t.IsZero() && t.After(f.now.Add(2*time.Hour)))
}

func dateInPast(f *facts) outcome {
	t, ok := f.date()
	return when(ok && !t.IsZero() && t.Before(f.now.Add(-7*24*time.Hour)))
}

// RFC 5322 §3.3: no place on earth is further from Greenwich than 14 hours.
func dateBadZone(f *facts) outcome {
	t, ok := f.date()
	if !ok || t.IsZero() {
		return outcome{}
	}
	_, off := t.Zone()
	if off%60 != 0 || off > 14*3600 || off < -12*3600 || off%(15*60) != 0 {
		return yes(t.Format("-0700"))
	}
	return outcome{}
}

// messageID is a Message-ID (RFC 5322 §3.6.4).
type messageID struct {
	value, left string
	// right is in lower case.
	right string
}

func readMessageID(v string) messageID {
	left, right, _ := strings.Cut(strings.Trim(v, "<> \t"), "@")
	return messageID{value: v, left: left, right: strings.ToLower(strings.TrimSpace(right))}
}

// RFC 5322 §3.6.4 msg-id, laxly: angle brackets, one "@" with something on both
// sides, no white space.
func invalidMessageID(f *facts) outcome {
	if !f.has("Message-ID") {
		return outcome{}
	}
	m := &f.head().mid
	v := m.value
	good := len(v) > 2 && v[0] == '<' && v[len(v)-1] == '>' && m.left != "" && m.right != "" && !strings.ContainsAny(v, " \t\r\n")
	return when(!good)
}

// midAddress returns the address that stands right of the "@", with brackets
// or without.
func (m *messageID) address() (addr netip.Addr, literal bool) {
	r := strings.TrimSuffix(strings.TrimPrefix(m.right, "["), "]")
	r = strings.TrimPrefix(r, "ipv6:")
	a, err := netip.ParseAddr(r)
	if err != nil {
		return netip.Addr{}, false
	}
	return a, strings.HasPrefix(m.right, "[")
}

func midBareIP(f *facts) outcome {
	a, literal := f.head().mid.address()
	return when(a.IsValid() && !literal)
}

// midNotFQDN: a server has a domain; a computer that is called "win10" and
// sends by itself does not.
func midNotFQDN(f *facts) outcome {
	r := f.head().mid.right
	if r == "" || strings.ContainsAny(r, ".:[") {
		return outcome{}
	}
	return yes(r)
}

// midIsUser: programs for answers that people wrote for themselves do it too.
func midIsUser(f *facts) outcome {
	h := f.head()
	user := strings.ToLower(h.from.Addr.LocalPart)
	return when(user != "" && h.mid.right == user && !f.isReply())
}

func midHasTo(f *facts) outcome {
	h := f.head()
	if h.mid.value == "" || len(h.to) != 1 {
		return outcome{}
	}
	a := h.to[0].Addr
	return when(a.Domain != "" && a.LocalPart != "" && !f.fromIs(a.String()) && strings.Contains(strings.ToLower(h.mid.value), strings.ToLower(a.String())))
}

// midOfRecipient: who makes the identifier of another's mail under the
// recipient's domain hopes that it is known there. A relay of the recipient may
// add a missing one, and a list of the recipient's may be the sender.
func midOfRecipient(f *facts) outcome {
	h := f.head()
	if h.mid.right == "" || h.list || len(h.goal) == 0 {
		return outcome{}
	}
	org := organization(h.mid.right)
	if org == h.fromOrg || !strings.Contains(org, ".") || !slices.Contains(h.goal, org) {
		return outcome{}
	}
	return yes(h.mid.right)
}

// midOfProvider: the big providers write identifiers under names of their own
// for mail of their own users.
func midOfProvider(f *facts) outcome {
	h := f.head()
	r := organization(h.mid.right)
	if h.mid.right == "" || r == h.fromOrg || h.list {
		return outcome{}
	}
	switch r {
	case "yahoo.com", "aol.com", "hotmail.com", "icloud.com", "gmx.net", "mail.ru", "yandex.ru":
	default:
		return outcome{}
	}
	for i := range h.hops {
		if hp := &h.hops[i]; organization(hp.by) == r || organization(hp.name) == r {
			return outcome{}
		}
	}
	return yes(h.mid.right)
}

// midGoogleAdded: Google writes into the identifier that the message had none,
// or a broken one, when it took it.
func midGoogleAdded(f *facts) outcome {
	return when(strings.HasSuffix(f.head().mid.left, "SMTPIN_ADDED_MISSING"))
}

func midGoogleBroken(f *facts) outcome {
	return when(strings.Contains(f.head().mid.left, "SMTPIN_ADDED_BROKEN"))
}

// midStamped knows the identifiers of a widespread program for bulk mail: the
// time in 14 digits, a dot, and 16 hexadecimal digits in capitals. Postfix,
// which begins alike, has a shorter and other second half.
func midStamped(f *facts) outcome {
	stamp, rest, ok := strings.Cut(f.head().mid.left, ".")
	return when(ok && len(stamp) == 14 && allOf(stamp, isNumeral) && len(rest) == 16 && allOf(rest, isUpperHex))
}

// midNumber: one long number is what no mail server of note writes.
func midNumber(f *facts) outcome {
	l := f.head().mid.left
	return when(len(l) >= 15 && allOf(l, isNumeral))
}

func isUpperHex(c byte) bool { return isNumeral(c) || c >= 'A' && c <= 'F' }

func allOf(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return s != ""
}

// midGoogle: identifiers of Gmail come from Gmail, whatever domain its customer
// has: then Google's servers are among the hops or have brought the message.
func midGoogle(f *facts) outcome {
	h := f.head()
	if h.mid.right != "mail.gmail.com" || strings.HasSuffix(f.Client.Name, ".google.com") {
		return outcome{}
	}
	for i := range h.hops {
		if hp := &h.hops[i]; strings.HasSuffix(hp.by, ".google.com") || strings.HasSuffix(hp.by, "mail.gmail.com") || strings.HasSuffix(hp.name, ".google.com") {
			return outcome{}
		}
	}
	return when(!f.anySignature())
}
