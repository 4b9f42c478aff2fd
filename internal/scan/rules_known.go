package scan

import (
	"strings"
)

// replyKnown counts in full for those to whom the recipient wrote. Somebody else
// may be a colleague of theirs, or have the Message-ID from a public list.
func replyKnown(f *facts) outcome {
	switch {
	case !f.Known.Reply:
		return outcome{}
	case correspondent(f).hit:
		return part(1)
	case f.proof() != unproved:
		return part(0.5, "of an author to whom no recipient wrote")
	}
	return part(0.25, "of an author whom nothing proves")
}

// correspondent: only where the domain is proved, or the address would be a
// password that everybody knows.
func correspondent(f *facts) outcome { return when(f.Known.Correspondent && f.proof() != unproved) }

// replyUnknown: the identifier is under a domain of ours, and nobody here sent
// it: a made-up thread. Old mail and mail from before we were here is so too.
func replyUnknown(f *facts) outcome { return when(f.Known.Thread && !f.Known.Reply) }

func firstTime(f *facts) outcome { return when(f.Known.First) }

// firstSuspicious: a stranger who hides something. Each of these alone is
// honest now and then.
func firstSuspicious(f *facts) outcome {
	// Anybody can answer a message that stands in a list's archive.
	if !f.Known.First || f.Known.Reply && f.Known.Correspondent {
		return outcome{}
	}
	var why []string
	for _, s := range []struct {
		name  string
		match func(*facts) outcome
	}{
		{"answers go elsewhere", replyFreemail}, {"answers go elsewhere", replyOtherFreemail}, {"hidden recipients", undisclosed},
		{"nothing vouches for the author", authNone}, {"it says to be an answer", fakeReply}, {"a brand's name", brandName},
	} {
		if s.match(f).hit {
			why = append(why, s.name)
		}
	}
	if why == nil {
		return outcome{}
	}
	return part(0.5*float64(len(why)), why...)
}

// ownName: the name of a user of ours, who writes from elsewhere. A private
// mailbox of the same person becomes known by an answer.
func ownName(f *facts) outcome {
	k := &f.Known
	if k.Namesake == "" || k.Correspondent || f.fromIs(k.Namesake) || f.isOurs(f.head().from.Addr.Domain) && f.proof() != unproved || f.viaList() {
		return outcome{}
	}
	return yes(f.head().from.Name, "is the name of "+k.Namesake)
}

// reputation returns a rule about what earlier mail of a domain or a network
// was: spam with sign 1, wanted with sign -1. Little and mixed history is none.
func reputation(of string, sign float64) func(*facts) outcome {
	return func(f *facts) outcome {
		for _, r := range f.Known.Reputation {
			if v := r.Value * sign; strings.EqualFold(r.Of, of) && v >= 0.1 {
				return part(v, r.Key)
			}
		}
		return outcome{}
	}
}
