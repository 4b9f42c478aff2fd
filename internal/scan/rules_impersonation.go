package scan

import (
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/brand"
	"github.com/gatepost/gatepost/internal/freemail"
	"github.com/gatepost/gatepost/internal/link"
)

// ownNameAddress: the author's name shows an address of ours, and the real one
// is elsewhere. FROM_NAME_ADDRESS hits too.
func ownNameAddress(f *facts) outcome {
	for _, b := range f.text.From {
		if shown := addressIn(b.Name); shown != "" && f.isOurs(shown) && !f.isOurs(b.Addr.Domain) && !f.viaList() {
			return yes(shown, b.Addr.Domain)
		}
	}
	return outcome{}
}

// goalInName: the author's name shows the domain of the recipient, as a
// helpdesk that does not exist: "example.org support". An address is the
// business of other rules.
func goalInName(f *facts) outcome {
	h := f.head()
	n := strings.ToLower(h.from.Name)
	if n == "" || h.fromOrg == "" || strings.Contains(n, "@") || f.viaList() || slices.Contains(h.goal, h.fromOrg) {
		return outcome{}
	}
	for _, g := range h.goal {
		if !freemail.Is(g) && strings.Contains(n, g) {
			return yes(g, h.fromOrg)
		}
	}
	return outcome{}
}

// ownForged: the author's domain is ours, a stranger brings it, and nothing
// vouches for it.
func ownForged(f *facts) outcome {
	h := f.head()
	if h.from.Addr.Domain == "" || !slices.Contains(h.ours, h.fromOrg) || f.proof() != unproved || f.provedList() {
		return outcome{}
	}
	return yes(h.from.Addr.Domain)
}

// ownReplyAway: so too, and answers leave the house. Ticket systems of others
// that may use our domain can prove it.
func ownReplyAway(f *facts) outcome {
	h := f.head()
	a, ok := f.reply()
	if !ok || !slices.Contains(h.ours, h.fromOrg) || f.isOurs(a.Domain) || f.proof() == proved || f.provedList() {
		return outcome{}
	}
	return yes(a.Domain)
}

// ownLookalike: a domain that a reader takes for ours: it looks the same, or
// one character differs.
func ownLookalike(f *facts) outcome {
	h := f.head()
	if h.fromOrg == "" || slices.Contains(h.ours, h.fromOrg) {
		return outcome{}
	}
	for _, own := range h.ours {
		if looksLike(h.fromOrg, own) {
			return yes(h.fromOrg, "looks like "+own)
		}
	}
	return outcome{}
}

// minLookalike is how long a label is at least, so that one character more or
// less is no chance.
const minLookalike = 6

// looksLike compares registered domains. Another suffix alone ("example.com",
// "example.org") is no likeness: most belong to the same owner.
func looksLike(a, own string) bool {
	la, sa, _ := strings.Cut(link.ToUnicode(a), ".")
	lo, so, _ := strings.Cut(link.ToUnicode(own), ".")
	if la == lo || freemail.Is(a) {
		return false
	}
	if link.Skeleton(la) == link.Skeleton(lo) {
		return true
	}
	return sa == so && len(lo) >= minLookalike && oneEdit(la, lo)
}

// oneEdit reports whether one character put in, taken out, changed, or changed
// places with its neighbour makes b of a. Numbers that differ are none.
func oneEdit(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a)-len(b) > 1 {
		return false
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	switch {
	case i == len(b): // one more at the end
		return len(a) > len(b) && !isNumeral(a[i])
	case len(a) > len(b):
		return !isNumeral(a[i]) && a[i+1:] == b[i:]
	case isNumeral(a[i]) && isNumeral(b[i]):
		return false
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// brandName: the author's name is a well-known brand's, the domain is not. It
// counts in full where nothing vouches for the author, and less where the name
// has more words than a brand would use. An address in the name has a rule of
// its own.
func brandName(f *facts) outcome {
	h := f.head()
	if h.fromOrg == "" || h.from.Name == "" || f.viaList() {
		return outcome{}
	}
	m, ok := brand.Find(h.from.Name)
	if !ok || m.Owns(h.fromOrg) || f.isOurs(h.fromOrg) || fromNameAddress(f).hit {
		return outcome{}
	}
	share := 0.6
	if f.proof() == unproved {
		share = 1
	}
	if !m.Alone {
		share /= 2
	}
	return part(share, m.Name, h.fromOrg)
}

// brandForged: the domain is the brand's, and nothing vouches for it. Brands
// sign what they send.
func brandForged(f *facts) outcome {
	h := f.head()
	if f.proof() != unproved || h.from.Name == "" || f.provedList() {
		return outcome{}
	}
	m, ok := brand.Find(h.from.Name)
	if !ok || !m.Owns(h.fromOrg) {
		return outcome{}
	}
	return yes(m.Name, h.fromOrg)
}
