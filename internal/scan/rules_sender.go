package scan

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/freemail"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// missing returns a rule that hits when there is no field of that name.
func missing(name string) func(*facts) outcome {
	return func(f *facts) outcome { return when(!f.has(name)) }
}

// RFC 5322 §3.6.2 wants a mailbox; one without a domain is none that a
// stranger has.
func fromInvalid(f *facts) outcome {
	return when(f.has("From") && f.head().from.Addr.Domain == "")
}

// RFC 5322 §3.6 allows one From field. It allows several mailboxes with a
// Sender field (§3.6.2), which DMARC gives no meaning: no program writes that.
func multipleFrom(f *facts) outcome {
	n := 0
	for i := range f.Raw.Fields {
		if f.Raw.Fields[i].Is("From") {
			n++
		}
	}
	if n < 2 && len(f.text.From) < 2 {
		return outcome{}
	}
	var who []string
	for _, b := range f.text.From {
		who = append(who, b.Addr.String())
	}
	return yes(who...)
}

// Mailing lists write "alice@example.org via list" for an author whose domain
// forbids others to use it.
func fromNameAddress(f *facts) outcome {
	for _, b := range f.text.From {
		shown := addressIn(b.Name)
		if shown == "" || link.Same(shown, b.Addr.Domain) || f.viaList() {
			continue
		}
		return yes(shown, b.Addr.Domain)
	}
	return outcome{}
}

// addressIn returns the domain of the first thing in s that looks like an
// address, "" for none.
func addressIn(s string) string {
	if !strings.Contains(s, "@") {
		return ""
	}
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`"'<>()[],;:`, r)
	}) {
		a, err := mailaddr.Parse(strings.TrimRight(word, ".!?"))
		if err == nil && link.Real(link.ToASCII(a.Domain)) {
			return a.Domain
		}
	}
	return ""
}

// fromIs reports whether addr, in whatever case, is the author's address.
func (f *facts) fromIs(addr string) bool {
	return strings.EqualFold(f.head().from.Addr.String(), addr)
}

// reply returns the first Reply-To address that is not the author's. Lists that
// speak for their authors put those there.
func (f *facts) reply() (mailaddr.Address, bool) {
	h := f.head()
	if h.from.Addr.Domain == "" || f.viaList() {
		return mailaddr.Address{}, false
	}
	for _, b := range h.replyTo {
		if b.Addr.Domain != "" && !f.fromIs(b.Addr.String()) {
			return b.Addr, true
		}
	}
	return mailaddr.Address{}, false
}

// replyFreemail: a sender with a domain of its own who wants answers in a
// mailbox that anybody gets.
func replyFreemail(f *facts) outcome {
	a, ok := f.reply()
	if !ok || !freemail.Is(a.Domain) || freemail.Is(f.head().from.Addr.Domain) || strings.EqualFold(a.Domain, f.head().from.Addr.Domain) {
		return outcome{}
	}
	return yes(a.Domain, f.head().from.Addr.Domain)
}

func replyOtherFreemail(f *facts) outcome {
	a, ok := f.reply()
	from := f.head().from.Addr.Domain
	if !ok || !freemail.Is(a.Domain) || !freemail.Is(from) || freemail.Provider(a.Domain) == freemail.Provider(from) {
		return outcome{}
	}
	return yes(a.Domain, from)
}

// replyOther: neither freemail, nor the sender's organization, nor that of a
// list to which the message goes.
func replyOther(f *facts) outcome {
	a, ok := f.reply()
	h := f.head()
	if !ok || freemail.Is(a.Domain) || organization(a.Domain) == h.fromOrg {
		return outcome{}
	}
	for _, b := range slices.Concat(h.to, f.copied()) {
		if b.Addr.Domain != "" && organization(b.Addr.Domain) == organization(a.Domain) {
			return outcome{}
		}
	}
	return yes(a.Domain)
}

func replyInvalid(f *facts) outcome { return when(f.head().replyBad) }

// fromIsRecipient: mail that its reader seems to have written.
func fromIsRecipient(f *facts) outcome {
	h := f.head()
	if h.from.Addr.Domain == "" || h.list {
		return outcome{}
	}
	same := func(a mailaddr.Address) bool { return f.fromIs(a.String()) }
	return when(slices.ContainsFunc(f.RcptTo, same) ||
		len(f.RcptTo) == 0 && len(h.to) == 1 && same(h.to[0].Addr) && f.proof() != proved)
}

// advance are marks of letters that promise money: a mailbox that anybody gets,
// no reader named, and a title or a sum.
func advance(f *facts) outcome {
	h := f.head()
	reply, _ := f.reply()
	free := freemail.Is(h.from.Addr.Domain) || freemail.Is(reply.Domain)
	if !free || !(undisclosed(f).hit || missingTo(f).hit || recipientNamed(f).hit) {
		return outcome{}
	}
	return when(fromTitle(f).hit || subjectCurrency(f).hit || subjectAllCaps(f).hit)
}

// receiptElsewhere: who asks for a note that the message was read wants it at
// another organization (RFC 8098 §2.1).
func receiptElsewhere(f *facts) outcome {
	v, ok := f.Raw.First("Disposition-Notification-To")
	if !ok {
		return outcome{}
	}
	h := f.head()
	for _, b := range mailboxes([]byte(v)) {
		if b.Addr.Domain != "" && organization(b.Addr.Domain) != h.fromOrg {
			return yes(b.Addr.Domain)
		}
	}
	return outcome{}
}

// fromURL: a link in the author's name.
func fromURL(f *facts) outcome {
	n := f.head().from.Name
	return when(indexFold(n, "http://") >= 0 || indexFold(n, "https://") >= 0 || indexFold(n, "www.") >= 0)
}

// titles begin the names of those who promise money.
var titles = []string{"mr", "mrs", "ms", "miss", "dr", "sir", "madam", "barr", "barrister", "capt", "captain", "col", "colonel",
	"engr", "gen", "general", "hon", "honorable", "prince", "princess", "prof", "rev", "reverend", "sgt", "chief", "bishop"}

func fromTitle(f *facts) outcome {
	word, rest, ok := strings.Cut(strings.TrimLeft(f.head().from.Name, " \"'"), " ")
	word = strings.ToLower(word)
	dotted := strings.HasSuffix(word, ".")
	if dot, tail, cut := strings.Cut(word, "."); cut && tail != "" {
		word, rest, ok, dotted = dot, tail, true, true // "Mr.John"
	}
	word = strings.TrimSuffix(word, ".")
	if !ok || strings.TrimSpace(rest) == "" || !slices.Contains(titles, word) {
		return outcome{}
	}
	// Words that are also first or family names need the dot.
	if slices.Contains([]string{"col", "gen", "general", "prince", "sir", "rev", "chief", "bishop", "hon"}, word) && !dotted {
		return outcome{}
	}
	return yes(word)
}

func fromSpaces(f *facts) outcome {
	return when(strings.Contains(strings.TrimSpace(f.head().from.Name), "   "))
}

// fromGlued: a name and an address without a blank between them, as hardly any
// mail program writes.
func fromGlued(f *facts) outcome {
	v, ok := f.Raw.First("From")
	if !ok {
		return outcome{}
	}
	i := strings.LastIndexByte(v, '<')
	return when(i > 0 && v[i-1] != ' ' && v[i-1] != '\t' && v[i-1] != ',' && v[i-1] != '<')
}

func senderWWW(f *facts) outcome {
	return when(strings.HasPrefix(f.head().from.Addr.Domain, "www.") || strings.HasPrefix(f.MailFrom.Domain, "www."))
}

// infoToInfo: mail to all that begin with the same word, which have a way to
// get off the list.
func infoToInfo(f *facts) outcome {
	h := f.head()
	return when(len(h.to) == 1 && strings.EqualFold(h.from.Addr.LocalPart, "info") &&
		strings.EqualFold(h.to[0].Addr.LocalPart, "info") && h.to[0].Addr.Domain != h.from.Addr.Domain && f.has("List-Unsubscribe"))
}

// rawBytes: bytes above 127 that are not UTF-8, which no standard allows in a
// field; UTF-8 is what RFC 6532 has.
func rawBytes(f *facts) outcome {
	for i := range f.Raw.Fields {
		fd := &f.Raw.Fields[i]
		if (fd.Is("From") || fd.Is("To") || fd.Is("Subject") || fd.Is("Reply-To")) && !utf8.Valid(fd.Value) {
			return yes(fd.Name)
		}
	}
	return outcome{}
}

// rawUTF8: honest senders need SMTPUTF8 for it, and hardly any has it.
func rawUTF8(f *facts) outcome {
	for i := range f.Raw.Fields {
		fd := &f.Raw.Fields[i]
		if !fd.Is("From") && !fd.Is("Subject") {
			continue
		}
		if !allOf(string(fd.Value), func(c byte) bool { return c < 0x80 }) && utf8.Valid(fd.Value) && len(fd.Value) > 0 {
			return yes(fd.Name)
		}
	}
	return outcome{}
}

// fromDigits: many digits in the local part, among letters, as programs make
// up addresses.
func fromDigits(f *facts) outcome {
	l := f.head().from.Addr.LocalPart
	if len(l) > 30 || freemail.Is(f.head().from.Addr.Domain) && allOf(l, isNumeral) {
		return outcome{}
	}
	digits := 0
	for i := range len(l) {
		if isNumeral(l[i]) {
			digits++
		}
	}
	return when(digits >= 5 && digits < len(l) && !strings.ContainsAny(l, "=+"))
}

// fromNotFQDN: the author's domain has no dot, or is of one house only.
func fromNotFQDN(f *facts) outcome {
	d := f.head().from.Addr.Domain
	if d == "" || strings.HasPrefix(d, "[") || strings.Contains(d, ".") && !isLocalName(d) {
		return outcome{}
	}
	return yes(d)
}

// fromPicture: a picture among the letters of the author's name.
func fromPicture(f *facts) outcome {
	return when(strings.ContainsFunc(f.head().from.Name, isPicture))
}

// decodedName returns the name of a mailbox as text.
func decodedName(b mailaddr.Mailbox) string { return header.DecodeText(b.Name) }
