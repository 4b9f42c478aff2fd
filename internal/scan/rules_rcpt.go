package scan

import (
	"slices"
	"strings"
)

// missingTo: what lists and news pass on may have none.
func missingTo(f *facts) outcome {
	return when(!f.has("To") && !f.has("Cc") && !f.head().list && !f.has("Newsgroups"))
}

// undisclosed: the group without a member (RFC 5322 §3.4) that a mail program
// writes for blind copies.
func undisclosed(f *facts) outcome {
	v, ok := f.Raw.First("To")
	if !ok {
		return outcome{}
	}
	v = strings.ToLower(v)
	return when(strings.Contains(v, "undisclosed") && (strings.Contains(v, "recipient") || len(f.head().to) == 0))
}

// recipientWords are what stands for names that the sender does not know.
var recipientWords = []string{"recipient", "recipients", "undisclosed", "undisclosed recipients", "undisclosed-recipients",
	"customer", "user", "you", "friend", "member"}

func recipientNamed(f *facts) outcome {
	for _, b := range f.head().to[:min(len(f.head().to), 3)] {
		if n := strings.ToLower(strings.Trim(decodedName(b), " .:;\"'")); slices.Contains(recipientWords, n) {
			return yes(n)
		}
	}
	return outcome{}
}

// recipientAbsent: none of the envelope's recipients stands in To or Cc, nor
// anybody of their organizations. Blind copies and lists are so too.
func recipientAbsent(f *facts) outcome {
	h := f.head()
	if len(f.RcptTo) == 0 || h.list || f.has("Resent-To") || !f.has("To") && !f.has("Cc") {
		return outcome{}
	}
	for _, b := range slices.Concat(h.to, f.copied()) {
		if b.Addr.Domain != "" && slices.Contains(h.goal, organization(b.Addr.Domain)) {
			return outcome{}
		}
	}
	return yes(f.RcptTo[0].String())
}

// manyRecipients is from how many recipients on their order says something.
const manyRecipients = 6

func recipientsSorted(f *facts) outcome {
	to := f.head().to
	if len(to) < manyRecipients || f.isReply() || f.head().list {
		return outcome{}
	}
	for i := 1; i < len(to); i++ {
		if strings.ToLower(to[i].Addr.String()) < strings.ToLower(to[i-1].Addr.String()) {
			return outcome{}
		}
	}
	return yes()
}

// recipientsSimilar: names in a row that begin alike, at many domains or one,
// come out of a list and not out of an address book.
func recipientsSimilar(f *facts) outcome {
	all := f.head().to
	if len(all) < manyRecipients || f.isReply() || f.head().list {
		return outcome{}
	}
	alike := 0
	for i := 1; i < len(all); i++ {
		a, b := strings.ToLower(all[i-1].Addr.LocalPart), strings.ToLower(all[i].Addr.LocalPart)
		if len(a) >= 4 && len(b) >= 4 && a[:4] == b[:4] {
			alike++
		}
	}
	if alike*2 < len(all) {
		return outcome{}
	}
	return yes()
}

// recipientEmptyName: `"" <bob@example.org>`, from a program that has a name's
// place and no name.
func recipientEmptyName(f *facts) outcome {
	v, _ := f.Raw.First("To")
	return when(strings.HasPrefix(v, `""`) || strings.HasPrefix(v, `" "`))
}

// recipientNameIsAddress: the address in the name's place, as those do who have
// nothing else to call a reader by. Address books do it too.
func recipientNameIsAddress(f *facts) outcome {
	to := f.head().to
	return when(len(to) == 1 && to[0].Name != "" && strings.EqualFold(strings.Trim(to[0].Name, "'\""), to[0].Addr.String()))
}
