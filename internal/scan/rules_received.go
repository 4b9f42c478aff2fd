package scan

import (
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/freemail"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// RFC 5321 §4.4 trace fields are US-ASCII, with RFC 6531 §3.7.3 UTF-8 in "for"
// and after "by" and "from": so bytes that are not UTF-8, and controls.
func receivedIllegal(f *facts) outcome {
	for i := range f.Raw.Fields {
		fd := &f.Raw.Fields[i]
		if fd.Is("Received") && illegal(fd.Value) {
			return yes()
		}
	}
	return outcome{}
}

// illegal looks at a value with its folding.
func illegal(v []byte) bool {
	for _, c := range v {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			return true
		}
	}
	return !utf8.Valid(v)
}

// receivedDateBad: servers know what time it is. Many write it in forms of
// their own, which says nothing.
func receivedDateBad(f *facts) outcome {
	hops := f.head().hops
	for i := range hops {
		if t := hops[i].at; !t.IsZero() && (t.Year() < 1990 || t.After(f.now.Add(48*time.Hour))) {
			return yes(t.Format(time.DateOnly))
		}
	}
	return outcome{}
}

// heloAddress returns the address that a HELO name is, with or without
// brackets. An address literal is legal for a client without a name (RFC 5321
// §4.1.3), and no mail server is one; a bare address is not legal at all.
func heloAddress(helo string) (netip.Addr, bool) {
	h := strings.TrimSuffix(strings.TrimPrefix(helo, "["), "]")
	if len(h) > 5 && strings.EqualFold(h[:5], "IPv6:") {
		h = h[5:]
	}
	a, err := netip.ParseAddr(h)
	return a, err == nil
}

func heloIP(f *facts) outcome {
	if _, ok := heloAddress(f.Client.Helo); !ok {
		return outcome{}
	}
	return yes(f.Client.Helo)
}

// heloBadIP: an address that is not the client's.
func heloBadIP(f *facts) outcome {
	a, ok := heloAddress(f.Client.Helo)
	if !ok || !f.Client.Addr.IsValid() || a.Unmap() == f.Client.Addr.Unmap() || !isPublic(f.Client.Addr.Unmap()) {
		return outcome{}
	}
	return yes(f.Client.Helo)
}

// heloBare: the name has to be a fully-qualified domain (RFC 5321 §2.3.5).
func heloBare(f *facts) outcome {
	if !isBare(f.Client.Helo) {
		return outcome{}
	}
	return yes(f.Client.Helo)
}

func isBare(helo string) bool {
	h := strings.TrimSuffix(helo, ".")
	return h != "" && h[0] != '[' && !strings.ContainsAny(h, ".:") || strings.EqualFold(h, "localhost.localdomain")
}

// localSuffixes are those of names that exist in one house only.
var localSuffixes = []string{".local", ".lan", ".localdomain", ".localhost", ".internal", ".home", ".intranet", ".corp", ".invalid",
	".workgroup", ".private", ".home.arpa", ".domain"}

func isLocalName(helo string) bool {
	h := strings.ToLower(strings.TrimSuffix(helo, "."))
	return h != "localhost.localdomain" && slices.ContainsFunc(localSuffixes, func(s string) bool { return strings.HasSuffix(h, s) })
}

func heloLocal(f *facts) outcome {
	if !isLocalName(f.Client.Helo) {
		return outcome{}
	}
	return yes(f.Client.Helo)
}

// heloOwn: a stranger with our name. Our own hosts do not come by this door
// without a login; those that do bear the name in DNS too.
func heloOwn(f *facts) outcome {
	h := strings.ToLower(strings.TrimSuffix(f.Client.Helo, "."))
	if !strings.Contains(h, ".") || !f.isOurs(h) || f.isOurs(f.Client.Name) || !isPublic(f.Client.Addr.Unmap()) || f.Auth.SPF.Helo.Result == authres.Pass {
		return outcome{}
	}
	return yes(f.Client.Helo)
}

// heloProvider: a client says to be of a provider of mailboxes and is not.
func heloProvider(f *facts) outcome {
	return isProvider(f.Client.Helo, f.Client.Name, f.Client.Addr.IsValid() && f.Auth.IPRev.Result != authres.TempError)
}

func isProvider(helo, name string, asked bool) outcome {
	h := strings.ToLower(strings.TrimSuffix(helo, "."))
	org := organization(h)
	if !asked || freemail.Of(org) != freemail.Free || org == organization(name) || freemail.Provider(org) == freemail.Provider(organization(name)) {
		return outcome{}
	}
	return yes(helo)
}

func heloPool(f *facts) outcome { return pool(f.Client.Helo, f.Client.Addr) }

func pool(name string, addr netip.Addr) outcome {
	share := poolName(name, addr.Unmap())
	if share == poolNone {
		return outcome{}
	}
	return part(share, name)
}

func ptrPool(f *facts) outcome { return pool(f.Client.Name, f.Client.Addr) }

func ptrMissing(f *facts) outcome {
	r := f.Auth.IPRev.Result
	return when(r == authres.Fail || r == authres.PermError)
}

func ptrUnknown(f *facts) outcome { return when(f.Auth.IPRev.Result == authres.TempError) }

// directPool: an access line brings mail that no server has handled.
func directPool(f *facts) outcome {
	if !f.Client.Addr.IsValid() || f.has("Received") || !isPublic(f.Client.Addr.Unmap()) {
		return outcome{}
	}
	return when(poolName(f.Client.Name, f.Client.Addr.Unmap()) >= poolLikes)
}

// relay returns a rule about the clients of earlier servers, as these wrote
// them down: what a list, a forwarder or a collector brings was judged by
// nobody on its way. A stranger can write such lines and gains nothing.
func relay(match func(h *hop) outcome) func(*facts) outcome {
	return func(f *facts) outcome {
		best := outcome{}
		hops := f.head().hops
		for i := range hops {
			if !hops[i].stranger() {
				continue
			}
			if o := match(&hops[i]); o.hit && o.times > best.times {
				best = o
			}
		}
		return best
	}
}

func relayNameless(h *hop) outcome {
	if !h.nameless {
		return outcome{}
	}
	return yes(h.addr.String())
}

func relayPool(h *hop) outcome { return pool(h.name, h.addr) }

func relayHeloIP(h *hop) outcome {
	if _, ok := heloAddress(h.helo); !ok || h.helo == h.name {
		return outcome{}
	}
	return yes(h.helo)
}

func relayHeloBare(h *hop) outcome {
	if !isBare(h.helo) || strings.EqualFold(h.helo, "unknown") || strings.EqualFold(h.helo, "localhost") {
		return outcome{}
	}
	return yes(h.helo)
}

func relayHeloProvider(h *hop) outcome { return isProvider(h.helo, h.name, h.nameless || h.name != "") }

func relayHeloUser(h *hop) outcome {
	return when(strings.EqualFold(h.helo, "user"))
}
