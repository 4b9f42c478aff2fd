package milter

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// maxRemoved bounds the fields that are taken out of one message. Postfix
// searches its queue file from the start for each of them, so a stranger could
// make it work for hours; no honest message has more than a few.
const maxRemoved = 500

// fieldRef names a field of the message as the MTA does, and says where it
// stands in the message that we rebuilt.
type fieldRef struct {
	// Name is as typed. Index counts the fields of that name from 1.
	Name       string
	Index      int
	Start, End int64
}

// fieldIndex finds the fields that must go, while the header passes by.
type fieldIndex struct {
	authservID  string
	receivedSPF bool // Received-SPF is ours alone
	private     []string

	counts map[string]int
	// Forged are fields that only this host may add.
	Forged []fieldRef
	// Private are those of Config.RemoveHeadersOutbound.
	Private []fieldRef
	// Signed says that a signature or a chain of forwarders stands there, which
	// are over the whole message.
	Signed bool
	// TooMany says that there were more than maxRemoved.
	TooMany bool
}

// add looks at the field name: value that stands from start to end.
func (x *fieldIndex) add(name string, value []byte, start, end int64) {
	name = strings.TrimRight(name, " \t")
	x.Signed = x.Signed || signatureName(name)
	list := &x.Forged
	isAR := strings.EqualFold(name, "Authentication-Results")
	switch {
	case forgedName(name), isAR, x.receivedSPF && strings.EqualFold(name, receivedSPFName):
	case containsFold(x.private, name):
		list = &x.Private
	default:
		return
	}
	if x.counts == nil {
		x.counts = map[string]int{}
	}
	key := strings.ToLower(name)
	x.counts[key]++
	if isAR && !authres.Own(value, x.authservID) {
		return
	}
	if len(x.Forged)+len(x.Private) >= maxRemoved {
		x.TooMany = true
		return
	}
	*list = append(*list, fieldRef{Name: name, Index: x.counts[key], Start: start, End: end})
}

const receivedSPFName = "Received-SPF"

// receivedSPF returns our Received-SPF (RFC 7208 §9.1) about the identity that
// SPF speaks for, none where the settings want none or SPF was not asked. What a
// stranger typed that the field cannot carry is left out.
func receivedSPF(cfg *Config, r mailauth.Results) ([]edit, error) {
	m := r.SPF.MailFrom
	if !cfg.ReceivedSPF || m.Result == "" {
		return nil, nil
	}
	f := authres.ReceivedSPF{
		Result: m.Result, ClientIP: r.IPRev.Addr, Identity: "mailfrom", EnvelopeFrom: carried(m.Sender),
		Helo: carried(r.SPF.Helo.Domain), Receiver: cfg.AuthservID, Mechanism: carried(m.Term), Problem: carried(m.Reason),
	}
	if m.NullPath {
		f.Identity, f.EnvelopeFrom = "helo", ""
	}
	v, err := f.Encode()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", receivedSPFName, err)
	}
	return []edit{{Op: respInsertHeader, Index: 1, Name: receivedSPFName, Value: v}}, nil
}

// carried returns s where a field can carry it, else "".
func carried(s string) string {
	if authres.Carries(s) {
		return s
	}
	return ""
}

// forgedName reports whether only this host may add a field of that name.
// X-Spamd is under X-Spam.
func forgedName(name string) bool {
	for _, p := range [...]string{"x-spam", "x-rspamd", "x-gatepost"} {
		if len(name) >= len(p) && strings.EqualFold(name[:len(p)], p) {
			return true
		}
	}
	return false
}

// signatureName reports whether a field of that name is over the body: DKIM's, or
// one of ARC's.
func signatureName(name string) bool {
	return strings.EqualFold(name, "DKIM-Signature") || len(name) >= 4 && strings.EqualFold(name[:4], "ARC-")
}

// needed reports whether mail without the field would break (RFC 5322 §3.6,
// MIME), or whether the milter itself decides about it.
func needed(name string) bool {
	return containsFold([]string{"From", "Sender", "To", "Cc", "Date", "Subject", "Message-ID", "Reply-To", "MIME-Version",
		"Content-Type", "Content-Transfer-Encoding", "DKIM-Signature", "Received", "Authentication-Results"}, name) ||
		forgedName(name)
}

func containsFold(list []string, s string) bool {
	for _, x := range list {
		if strings.EqualFold(x, s) {
			return true
		}
	}
	return false
}

func itoa(i int) string { return strconv.Itoa(i) }
