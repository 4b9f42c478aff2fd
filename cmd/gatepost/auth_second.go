package main

import (
	"bytes"
	"context"
	"net"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
)

// maxSecond is the largest message that a second verifier is asked about: the
// library takes time that grows with the square of some bodies.
const maxSecond = 1 << 20

// secondOpinions asks a verifier that shares no code with ours about the same
// signatures, and notes where the two do not agree: a receiver may well read a
// message as that one does. Ours is the stricter by intent (l=, rsa-sha1, fields
// that are not signed), so a disagreement is a fact and no fault.
func secondOpinions(ctx context.Context, res *resolver.Resolver, m *rawmsg.Message, sigs []signatureReport) {
	if len(sigs) == 0 || len(m.Raw) > maxSecond || !m.Inside() {
		return
	}
	defer func() { _ = recover() }() // the library's fault is not the message's
	seen, err := msgauth.VerifyWithOptions(bytes.NewReader(m.Raw), &msgauth.VerifyOptions{
		MaxVerifications: dkim.MaxSignatures,
		LookupTXT: func(name string) ([]string, error) {
			txt, err := res.LookupTXT(ctx, name)
			if err != nil {
				return nil, &net.DNSError{Err: "no answer", Name: name, IsTemporary: true}
			}
			if len(txt) == 0 {
				return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
			}
			return txt, nil
		},
	})
	if err != nil && len(seen) != len(sigs) {
		return
	}
	for i := range min(len(seen), len(sigs)) {
		if pass := seen[i].Err == nil; pass != (sigs[i].Result == authres.Pass) {
			sigs[i].Second = "pass"
			if !pass {
				sigs[i].Second = seen[i].Err.Error()
			}
		}
	}
}
