package dkim

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// MaxSignatures bounds the signatures of one message that are looked at, from
// the top of the header.
const MaxSignatures = 8

// Drift is how far the clock of a signer may be ahead of ours.
const Drift = 5 * time.Minute

// Result is the verdict about one signature. The names in it say who signed
// only when Result is Pass.
type Result struct {
	Signature
	// Result is pass, fail, policy, temperror or permerror (RFC 8601 §2.7.1).
	// Policy is a signature that holds for a part of the body only.
	Result authres.Result
	// Reason is why it is not Pass; for a pass what is to be noted: a weak key.
	Reason string
	// Bits is the size of the key, 0 where none was read.
	Bits int
	// Testing says that the key is published with t=y.
	Testing bool
	// BodySize is the length of the canonical body, of which Length octets are
	// signed; -1 where the body was not looked at.
	BodySize int64
	// BodyChanged says that the body hash did not match (see Explain).
	BodyChanged bool
}

// Verifier verifies the DKIM signatures of one message.
type Verifier struct {
	m       *Message
	keys    *Keys
	now     time.Time
	sigs    []*Signature
	hashes  []*BodyHash
	skipped int
}

// Start reads the signatures of m, asks for their body hashes and for their
// keys, and does not wait for either. The lookups end with ctx.
func Start(ctx context.Context, m *Message, keys *Keys, now time.Time) *Verifier {
	v := &Verifier{m: m, keys: keys, now: now}
	at := m.Named(DKIM.FieldName())
	if len(at) > MaxSignatures {
		v.skipped = len(at) - MaxSignatures
		at = at[:MaxSignatures]
	}
	for _, i := range at {
		s := ParseSignature(DKIM, m.raw, i)
		v.sigs = append(v.sigs, s)
		v.hashes = append(v.hashes, Prepare(ctx, m, keys, s, now))
	}
	return v
}

// Skipped returns how many signatures are beyond MaxSignatures.
func (v *Verifier) Skipped() int { return v.skipped }

// Results returns a verdict for each signature, in the order of the header. It
// comes after ReadBody, and waits for the keys.
func (v *Verifier) Results() []Result {
	out := make([]Result, len(v.sigs))
	for i, s := range v.sigs {
		out[i] = Verify(v.m, v.keys, s, v.hashes[i])
	}
	return out
}

// Prepare asks for the body hash and the key of s, when there is a use for
// them; else it returns nil and puts the cause into s.Bad.
func Prepare(ctx context.Context, m *Message, keys *Keys, s *Signature, now time.Time) *BodyHash {
	switch {
	case s.Bad != "":
	case m.raw.HeaderCut:
		s.Bad = "header too large"
	case !s.Expiration.IsZero() && now.After(s.Expiration):
		s.Bad = "signature expired"
	case s.Time.After(now.Add(Drift)):
		s.Bad = "signature is from the future"
	}
	if s.Bad != "" {
		return nil
	}
	keys.Fetch(ctx, s)
	return m.Body(s.Body, s.Length)
}

// Verify returns the verdict about a DKIM-Signature or an
// ARC-Message-Signature that was prepared, with the body hash from Prepare.
func Verify(m *Message, keys *Keys, s *Signature, body *BodyHash) Result {
	r := Result{Signature: *s, BodySize: -1}
	if s.Bad != "" || body == nil {
		r.Result, r.Reason = authres.PermError, s.Bad
		return r
	}
	if !m.read || m.err != nil {
		r.Result, r.Reason = authres.TempError, "message could not be read"
		return r
	}
	v := keys.check(s, func() [sha256.Size]byte { return m.digest(s) })
	r.Result, r.Reason, r.Bits, r.Testing = v.result, v.reason, v.bits, v.testing
	r.BodySize = body.Size
	r.BodyChanged = body.Sum != s.bodyHash || s.Length > body.Size
	// No key makes a changed body right, so one that DNS does not give leaves
	// nothing open: else a stranger turned fail into temperror with a selector
	// of a broken zone.
	switch {
	case r.Result == authres.PermError:
	case s.Length > body.Size:
		r.Result, r.Reason = authres.Fail, "body is shorter than what was signed"
	case r.BodyChanged:
		r.Result, r.Reason = authres.Fail, "body was changed"
	case r.Result == authres.Fail || r.Result == authres.TempError:
	case s.Length != Whole && s.Length < body.Size:
		// What follows the signed part may be anyone's.
		r.Result, r.Reason = authres.Policy, fmt.Sprintf("only %d of %d octets of the body are signed", s.Length, body.Size)
	case s.Algorithm == "rsa-sha256" && r.Bits < weakBits:
		r.Reason = fmt.Sprintf("weak key of %d bits", r.Bits)
	}
	return r
}

// VerifySeal returns the verdict about an ARC-Seal that was prepared, whose
// signed text has that digest.
func VerifySeal(keys *Keys, s *Signature, digest [sha256.Size]byte) Result {
	r := Result{Signature: *s, BodySize: -1}
	if s.Bad != "" {
		r.Result, r.Reason = authres.PermError, s.Bad
		return r
	}
	v := keys.check(s, func() [sha256.Size]byte { return digest })
	r.Result, r.Reason, r.Bits, r.Testing = v.result, v.reason, v.bits, v.testing
	return r
}
