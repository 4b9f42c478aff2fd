package mailauth

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Bounds of what is verified.
const (
	maxSignatures   = 8
	maxSignedNames  = 200
	maxHeaderFields = 1000
	// maxKeyBits bounds an RSA key. RFC 8301 §3.2 asks for 4096. The longest key
	// that DNS can carry costs 12 s for one signature, which no deadline ends.
	maxKeyBits = 8192
)

// signatureField is the name of the field.
const signatureField = "DKIM-Signature"

// dkim starts the verification of each signature in wg.
func (c *Checker) dkim(ctx context.Context, wg *sync.WaitGroup, in Input, r *Results) {
	var at []int
	for i := range in.Raw.Fields {
		if in.Raw.Fields[i].Is(signatureField) {
			at = append(at, i)
		}
	}
	if len(at) > maxSignatures {
		r.DKIMSkipped = len(at) - maxSignatures
		at = at[:maxSignatures]
	}
	r.DKIM = make([]DKIM, len(at))
	for n, i := range at {
		wg.Go(func() { c.verify(ctx, in, &in.Raw.Fields[i], &r.DKIM[n]) })
	}
}

// verify finds out whether the signature in f holds.
func (c *Checker) verify(ctx context.Context, in Input, f *rawmsg.Field, d *DKIM) {
	sig := parseSignature(string(f.Value))
	*d = DKIM{
		Domain:     strings.ToLower(sig.tag("d")),
		Selector:   strings.ToLower(sig.tag("s")),
		Identifier: sig.tag("i"),
		Algorithm:  strings.ToLower(sig.tag("a")),
		B:          sig.tag("b")[:min(8, len(sig.tag("b")))],
		Time:       sig.time("t"),
		Expiration: sig.time("x"),
		Names:      sig.names,
	}
	if d.Identifier == "" {
		d.Identifier = "@" + d.Domain
	}
	defer c.guard(ctx, authres.DKIM, &d.Result, &d.Reason)
	if d.Result, d.Reason = refuse(in.Raw, f, sig); d.Result != "" {
		return
	}
	c.ask(ctx, in, f, sig, d)
}

// refuse returns the result for what is not given to the library, "" for what
// is.
func refuse(m *rawmsg.Message, f *rawmsg.Field, sig signature) (authres.Result, string) {
	_, partly := sig.tags["l"]
	t, x := sig.time("t"), sig.time("x")
	switch {
	case m.HeaderCut || len(m.Fields) > maxHeaderFields:
		return authres.PermError, "header too large"
	case sig.bad != "":
		return authres.PermError, sig.bad
	case len(sig.names) > maxSignedNames:
		return authres.PermError, "too many signed fields"
	case partly:
		// What follows the signed part may be anyone's.
		return authres.Policy, "only a part of the body is signed"
	case !t.IsZero() && !x.IsZero() && x.Before(t):
		return authres.PermError, "signature expired before it was made"
	}
	for _, n := range sig.names {
		if strings.EqualFold(n, signatureField) {
			return authres.Neutral, "covers other signatures"
		}
	}
	return "", ""
}

// ask lets the library verify the one signature in f. With one signature it
// works in this goroutine, so that guard sees its panics.
func (c *Checker) ask(ctx context.Context, in Input, f *rawmsg.Field, sig signature, d *DKIM) {
	var key keyRecord
	msg := &message{ctx: ctx, header: signedHeader(in.Raw, f, sig.names), open: func() (io.Reader, error) {
		body := in.Body()
		_, err := io.CopyN(io.Discard, body, int64(in.Raw.HeaderEnd))
		if err == io.EOF {
			err = errShort
		}
		return body, err
	}}
	verifications, err := dkim.VerifyWithOptions(msg, &dkim.VerifyOptions{
		MaxVerifications: 1,
		LookupTXT: func(name string) ([]string, error) {
			txt, err := c.res.LookupTXT(ctx, name)
			if err != nil {
				// The library asserts this type and does not unwrap.
				return nil, &net.DNSError{Err: "no answer", Name: name, IsTemporary: true}
			}
			if len(txt) == 1 {
				key = parseKeyRecord(txt[0])
				d.Testing, d.Bits = key.testing, key.bits()
			}
			if d.Bits > maxKeyBits {
				return nil, nil
			}
			return txt, nil
		},
	})
	switch {
	case errors.Is(msg.err, errRun):
		d.Result, d.Reason = authres.PermError, "too many empty lines in a row"
	case msg.err != nil:
		d.Result, d.Reason = authres.TempError, "message could not be read"
	case err != nil || len(verifications) != 1:
		d.Result, d.Reason = authres.PermError, "malformed signature"
	default:
		d.Result, d.Reason = dkimResult(verifications[0], d, key)
	}
}

// signedHeader returns the fields of m that names name, in their order, with
// the signature itself and the blank line. More would only be work: the
// library compares each name with each field.
func signedHeader(m *rawmsg.Message, sig *rawmsg.Field, names []string) []byte {
	wanted := make(map[string]bool, len(names))
	for _, n := range names {
		wanted[strings.ToLower(n)] = true
	}
	var b bytes.Buffer
	for i := range m.Fields {
		f := &m.Fields[i]
		if f == sig || wanted[strings.ToLower(f.Name)] {
			b.Write(bytes.TrimSuffix(bytes.TrimSuffix(f.Raw, []byte("\n")), []byte("\r")))
			b.WriteString("\r\n")
		}
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// dkimResult maps what the library says about a signature, and says no where
// it is too kind.
func dkimResult(v *dkim.Verification, d *DKIM, key keyRecord) (authres.Result, string) {
	switch {
	case d.Bits > maxKeyBits:
		return authres.PermError, "key is too long"
	case v.Err == nil && strings.ToLower(v.Domain) != d.Domain:
		return authres.PermError, "malformed signature"
	case v.Err == nil && key.strict && !strings.HasSuffix(strings.ToLower(d.Identifier), "@"+d.Domain):
		// t=s: no subdomains in i= (RFC 6376 §3.6.1).
		return authres.PermError, "identifier is not of the key's domain"
	case v.Err == nil:
		return authres.Pass, ""
	case dkim.IsTempFail(v.Err):
		return authres.TempError, "key lookup had no answer"
	case dkim.IsPermFail(v.Err):
		return authres.PermError, dkimReason(v.Err)
	}
	return authres.Fail, dkimReason(v.Err)
}

// dkimReasons are our words for the library's errors. They differ in their
// text only, which decides nothing here but what a reader is told.
var dkimReasons = []struct{ prefix, text string }{
	{"dkim: body hash did not verify", "body was changed"},
	{"dkim: signature did not verify", "signature does not match"},
	{"dkim: signature has expired", "signature expired"},
	{"dkim: no valid key found", "no key"},
	{"dkim: multiple TXT records", "more than one key record"},
	{"dkim: key revoked", "key revoked"},
	{"dkim: key is too short", "key is too short"},
	{"dkim: key syntax error", "malformed key"},
	{"dkim: hash algorithm too weak", "rsa-sha1 is not accepted"},
	{"dkim: domain mismatch", "identifier is not of the domain"},
	{"dkim: From field not signed", "From is not signed"},
}

func dkimReason(err error) string {
	for _, r := range dkimReasons {
		if strings.HasPrefix(err.Error(), r.prefix) {
			return r.text
		}
	}
	return "signature or key cannot be used"
}

// bits returns the size of an RSA key, 0 for another or none.
func (k keyRecord) bits() int {
	der, err := base64.StdEncoding.DecodeString(k.public)
	if !k.rsa || err != nil {
		return 0
	}
	// Both forms are in use (RFC 6376 erratum 3017).
	if pub, err := x509.ParsePKIXPublicKey(der); err == nil {
		if p, ok := pub.(*rsa.PublicKey); ok {
			return p.N.BitLen()
		}
		return 0
	}
	if p, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return p.N.BitLen()
	}
	return 0
}
