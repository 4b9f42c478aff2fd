package scan

import (
	"strings"

	"github.com/gatepost/gatepost/internal/freemail"
)

// mailingList: an identifier (RFC 2919) and the commands (RFC 2369) under one
// organization. It is a mark that a spammer can write, so that it is worth
// little.
func mailingList(f *facts) outcome {
	h := f.head()
	if !h.list {
		return outcome{}
	}
	v, _ := f.Raw.First("List-Id")
	id := strings.TrimSuffix(v[strings.LastIndexByte(v, '<')+1:], ">")
	post, ok := f.Raw.First("List-Post")
	return when(ok && strings.Contains(post, "mailto:") && strings.Contains(strings.ToLower(post), "."+lastLabels(id)) ||
		ok && strings.Contains(strings.ToLower(post), "@"+lastLabels(id)))
}

// lastLabels returns the organization of a list's identifier.
func lastLabels(id string) string { return organization(strings.ToLower(id)) }

// bulk is a fact: what says of itself that it goes to many.
func bulk(f *facts) outcome {
	v, _ := f.Raw.First("Precedence")
	return when(f.has("List-Unsubscribe") || strings.EqualFold(v, "bulk") || strings.EqualFold(v, "junk") || strings.EqualFold(v, "list"))
}

// bulkFreemail: newsletters have a domain. What lists pass on is no newsletter.
func bulkFreemail(f *facts) outcome {
	if !freemail.Is(f.head().from.Addr.Domain) || !f.has("List-Unsubscribe") || f.head().list {
		return outcome{}
	}
	v, _ := f.Raw.First("Precedence")
	return when(!f.has("List-Post") && !f.has("Mailing-List") && !f.has("X-Mailing-List") && !f.has("X-BeenThere") && !strings.EqualFold(v, "list"))
}

// forwarded is a fact: someone passed the message on.
func forwardedMail(f *facts) outcome {
	l := f.MailFrom.LocalPart
	srs := len(l) > 5 && (strings.EqualFold(l[:4], "SRS0") || strings.EqualFold(l[:4], "SRS1")) && strings.ContainsRune("=+-", rune(l[4]))
	return when(srs || f.has("Resent-From") || f.has("X-Forwarded-For") || f.has("X-Forwarded-To"))
}
