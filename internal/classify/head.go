package classify

import (
	"bytes"
	"strings"

	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Bounds of the head view.
const (
	maxFieldWords = 60
	maxHeadWords  = 3000
	maxFields     = 300
)

// verdictFields begin the names of fields, in lower case, in which a filter or
// an authentication check tells what it found. A filter that learned them
// would learn to repeat another's mistakes, and ours are not there yet when a
// message is scored.
var verdictFields = []string{
	"x-gatepost", "x-spam", "x-rspam", "x-barracuda", "x-bogosity", "x-dspam", "x-crm114", "x-virus", "x-amavis",
	"x-ms-exchange-organization-", "x-ms-exchange-antispam", "x-ms-exchange-atp", "x-forefront-antispam",
	"x-microsoft-antispam", "x-mailman-rule", "x-antispam", "x-anti-spam", "x-ham-", "x-junk", "x-proofpoint",
	"x-ironport-a", "x-quarantine", "x-mailscanner", "x-sophos", "x-kaspersky", "x-pmx-", "x-foff", "x-sg-", "x-vr-",
	"x-sid-", "x-miltered", "x-content-filter", "x-acl-warn", "x-headers-end", "x-greylist", "x-assp", "x-cmae",
	"x-cloudmark", "x-spfilter", "x-phishing", "authentication-results", "arc-", "received-spf", "x-arc-",
	"x-google-smtp-source", "x-gm-message-state",
}

// signatures are fields of which only the domain says something: the rest is
// new in every message.
var signatures = []string{"dkim-signature", "x-google-dkim-signature", "domainkey-signature"}

// noise are fields whose values say nothing twice.
var noise = []string{"x-received", "face", "x-face", "autocrypt", "openpgp", "x-microsoft-exchange-diagnostics"}

// headFeatures takes in the names of the fields, their order, and the words of
// their values.
func headFeatures(m *marks, raw *rawmsg.Message, text *message.Message) {
	previous := uint64(1)
	left := maxHeadWords
	for i := range raw.Fields[:min(len(raw.Fields), maxFields)] {
		f := &raw.Fields[i]
		if beginsAny(f.Name, verdictFields) {
			continue
		}
		name := more(hash(seedFieldName), f.Name)
		m.add(name)
		m.add(neighbours(name, previous))
		previous = name
		value := f.Value
		if isAny(f.Name, signatures) {
			value = signer(value)
		}
		w := words{m: m, pairs: true, base: lower(hash(seedField), f.Name), left: min(maxFieldWords, left)}
		w.previous = w.base
		left -= w.left
		switch {
		case isAny(f.Name, noise):
		case f.Is("Subject"):
			split(&w, text.Subject)
		default:
			split(&w, value)
		}
		left += w.left
	}
	m.add(neighbours(2, previous))
}

// signer returns the value of the tag d (RFC 6376 §3.5).
func signer(value []byte) []byte {
	s := value
	for len(s) > 0 {
		tag := s
		if i := bytes.IndexByte(s, ';'); i >= 0 {
			tag, s = s[:i], s[i+1:]
		} else {
			s = nil
		}
		for len(tag) > 0 && (tag[0] == ' ' || tag[0] == '\t' || tag[0] == '\r' || tag[0] == '\n') {
			tag = tag[1:]
		}
		if len(tag) > 1 && tag[0] == 'd' && tag[1] == '=' {
			return tag[2:]
		}
	}
	return nil
}

func beginsAny(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if len(name) >= len(p) && strings.EqualFold(name[:len(p)], p) {
			return true
		}
	}
	return false
}

func isAny(name string, names []string) bool {
	for _, n := range names {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return false
}
