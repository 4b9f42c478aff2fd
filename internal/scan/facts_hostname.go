package scan

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// How sure a name is one that a provider made for an access line or a rented
// machine, and no mail server bears.
const (
	poolNone  = 0.0
	poolMaybe = 0.3 // says static or server, and holds the address
	poolLikes = 0.6 // holds the address, or a word for access lines
	poolSure  = 1.0 // both
)

// poolWords are the labels, or parts of them, that providers give to access
// lines.
var poolWords = wordSet("adsl broadband cable catv cust customer customers cpe dhcp dial dialin dialup dip docsis dsl " +
	"dyn dynamic dynamicip dynip fiber fibra ftth fttb fttx gprs home internetdsl ipt isdn kabel lte mobile modem " +
	"node pool pools ppp pppoe rasppp res resnet residential user users vdsl wifi wimax wireless xdsl umts abo " +
	"retail speedy veloxzone client clients dynamics")

// fixedWords are those of lines and machines that someone rents for good.
var fixedWords = wordSet("static fixed host hosted hosting server servers srv vps vserver dedicated cloud colo business biz " +
	"compute instance")

// mailWords are those of mail servers.
var mailWords = wordSet("mail mails mailer mailout mailgw mailhost mx mxout mta mtaout smtp smtpout smtps relay out outbound " +
	"outgoing email newsletter bounce send sender mgw postfix exim lists list")

func wordSet(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

// poolName grades a host name. addr may be invalid: then numbers that could be
// an address count.
func poolName(host string, addr netip.Addr) float64 {
	host = strings.ToLower(strings.TrimSuffix(clip(host, 255), "."))
	org := organization(host)
	sub, ok := strings.CutSuffix(host, "."+org)
	if !ok || strings.HasPrefix(host, "[") {
		return poolNone
	}
	var words nameWords
	words.read(sub)
	holds := words.holds(addr, sub)
	switch {
	case words.mail > 0 && (words.pool == 0 || !holds):
		return poolNone
	case words.fixed > 0 && holds:
		return poolMaybe
	case words.fixed > 0:
		return poolNone
	case words.pool > 0 && holds:
		return poolSure
	case words.pool > 0 && len(words.numbers) > 0 || holds:
		return poolLikes
	}
	return poolNone
}

// nameWords are the parts of a host name: words, and numbers below 256.
type nameWords struct {
	pool, fixed, mail int
	numbers           []int
}

func (w *nameWords) read(sub string) {
	for i := 0; i < len(sub); {
		j := i
		for j < len(sub) && isAlpha(sub[j]) {
			j++
		}
		if j > i {
			w.word(sub[i:j])
			i = j
			continue
		}
		for j < len(sub) && isNumeral(sub[j]) {
			j++
		}
		if j == i {
			i++
			continue
		}
		if n, err := strconv.Atoi(sub[i:j]); err == nil && n < 256 && j-i <= 3 {
			w.numbers = append(w.numbers, n)
		}
		i = j
	}
}

func (w *nameWords) word(s string) {
	switch {
	case poolWords[s]:
		w.pool++
	case fixedWords[s]:
		w.fixed++
	case mailWords[s]:
		w.mail++
	}
}

// holds reports whether the name holds the address: three of its numbers, in
// whatever order, or the whole of it in hexadecimal.
func (w *nameWords) holds(addr netip.Addr, sub string) bool {
	if !addr.Is4() {
		return !addr.IsValid() && len(w.numbers) >= 4
	}
	b := addr.As4()
	left, found := slices.Clone(w.numbers), 0
	for _, o := range b {
		if i := slices.Index(left, int(o)); i >= 0 {
			left[i] = -1
			found++
		}
	}
	if found >= 3 {
		return true
	}
	hex := strconv.FormatUint(uint64(b[0])<<24|uint64(b[1])<<16|uint64(b[2])<<8|uint64(b[3]), 16)
	return len(hex) >= 7 && strings.Contains(sub, hex)
}

func isAlpha(c byte) bool   { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isNumeral(c byte) bool { return c >= '0' && c <= '9' }
