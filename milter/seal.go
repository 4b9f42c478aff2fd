package milter

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// maxSealed bounds h= of a message signature, which stands on one line of at
// most 998 octets (RFC 5322 §2.1.1).
const maxSealed = 900

// sealKey returns the key that seals mail from outside, or the one reason why
// none does; no key and no reason where sealing is off.
func (s *session) sealKey(ctx context.Context) (keys.Key, string) {
	domain, d := s.msg.cfg.ARCSeal, &s.srv.deps
	switch {
	case domain == "":
		return keys.Key{}, ""
	case d.Auth == nil || d.Keys == nil:
		return keys.Key{}, "sealing needs the checks and the keys"
	case s.g.agreed.Actions&actAddHeaders == 0:
		return keys.Key{}, "the MTA takes no new header fields"
	}
	if active := d.Keys.Active(domain); len(active) > 0 {
		return active[0], ""
	}
	why := "no key for the domain of milter.arc_seal"
	if w, ok := d.Keys.(waitingKeys); ok && w.Waiting(domain) {
		why += " is active"
	}
	s.sealAlarm(ctx, domain, errors.New(why))
	return keys.Key{}, why
}

// seal fills in f's ARC set (RFC 8617 §5.1), or why there is none. It covers the
// sender's fields only: none that we take off or add.
func (s *session) seal(ctx context.Context, raw *rawmsg.Message, k keys.Key, f *facts) {
	names := sealedNames(raw)
	switch {
	case raw.HeaderCut || int64(raw.HeaderEnd) != s.msg.headerEnd:
		f.Unsealed = "the header cannot be read whole"
		return
	case len(strings.Join(names, ":")) > maxSealed:
		f.Unsealed = "too many header fields to sign"
		return
	case f.Auth.ARC.Temporary:
		f.Unsealed = "the ARC chain could not be checked for now"
		return
	}
	results, err := authResults(s.msg.cfg, *f)
	if err == nil {
		sealer := arc.Sealer{Domain: k.Domain, Selector: k.Selector, Key: k.Signer(), Names: names}
		results = strings.ReplaceAll(results, "\n\t", "\n ") // it is folded anew
		f.Seal, err = f.Auth.Seal(sealer, results, time.Now())
	}
	switch {
	case err == nil:
		f.Sealer = k.Domain + " s=" + k.Selector + " a=" + string(k.Algorithm) + "-sha256"
	case errors.Is(err, arc.ErrChain):
		f.Unsealed = "the ARC chain was broken before us or is full"
	case errors.Is(err, mailauth.ErrNotSealable):
		f.Unsealed = "the message could not be read in time"
	default:
		f.Unsealed = "the message could not be sealed"
		s.sealAlarm(ctx, k.Domain, err)
	}
}

// sealAlarm tells once until the next reload that nothing can be sealed.
func (s *session) sealAlarm(ctx context.Context, domain string, err error) {
	if s.srv.alarm("arc_seal " + domain) {
		s.log.LogAttrs(ctx, slog.LevelError, "mail is not sealed", slog.Any("err", err))
	}
}

// sealedNames returns h= of a message signature: what our own signatures cover,
// and the DKIM signatures that are there (RFC 8617 §4.1.2).
func sealedNames(raw *rawmsg.Message) []string {
	count := func(name string) int { return len(fieldValues(raw, name)) }
	return append(keys.Names(count), slices.Repeat([]string{keys.FieldName}, count(keys.FieldName))...)
}
