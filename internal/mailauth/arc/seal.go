package arc

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
)

// seals verifies every seal. A seal signs all sets up to its own in relaxed
// form (RFC 8617 §5.1.1), so that one hash grows along the chain, and each
// seal takes a copy of it.
func (v *Verifier) seals() {
	h := sha256.New()
	var text []byte
	for i := range v.res.Sets {
		s := &v.res.Sets[i]
		text = v.m.AppendField(text[:0], dkim.Relaxed, s.fields[0]-1)
		text = v.m.AppendField(text, dkim.Relaxed, s.fields[1]-1)
		h.Write(text)
		s.Seal = dkim.VerifySeal(v.keys, s.seal, sumWith(h, v.m.AppendUnsigned(text[:0], dkim.Relaxed, s.seal)))
		v.hold(&s.Seal, fmt.Sprintf("seal %d", s.Instance))
		h.Write(v.m.AppendField(text[:0], dkim.Relaxed, s.fields[2]-1))
	}
}

// sumWith returns the hash of what h has seen and text, and leaves h alone.
func sumWith(h hash.Hash, text []byte) (sum [sha256.Size]byte) {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic("arc: SHA-256 cannot be cloned: " + err.Error())
	}
	c.Write(text)
	c.Sum(sum[:0])
	return sum
}

// ErrChain is a chain that no set may be added to: a handler before us found
// it broken, it has 50 sets (RFC 8617 §5.1), or it was not verified, because
// DNS did not answer or nobody asked.
var ErrChain = errors.New("no set may be added to the chain")

// Sealer adds sets. It is safe for concurrent use if its Key is.
type Sealer struct {
	// Domain and Selector say where the public key is.
	Domain, Selector string
	// Key is an RSA or an Ed25519 key.
	Key crypto.Signer
	// Names are the fields that the message signature covers; a name may stand
	// more than once (RFC 6376 §5.4.2). From must be among them, ARC fields
	// must not.
	Names []string
}

// Seal returns the three fields of a new set, in the order in which they stand
// on top of the message: seal, message signature, results. chain is the
// verdict about m as it came in; body is its whole body hash in relaxed form,
// asked of m before ReadBody; results is what an Authentication-Results field
// of ours says, from the authserv-id on, the verdict about the chain in it.
func (s *Sealer) Seal(m *dkim.Message, body *dkim.BodyHash, chain Result, results string, now time.Time) ([]header.Field, error) {
	if chain.Result == "" || chain.broken || chain.Temporary {
		return nil, ErrChain
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	i, n := chain.next, strconv.Itoa(chain.next)
	aar, err := header.New("ARC-Authentication-Results", "i="+n+"; "+header.Unfold([]byte(results)))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	tags := []string{
		"a=" + s.algorithm(), "b=", "bh=" + base64.StdEncoding.EncodeToString(body.Sum[:]), "c=relaxed/relaxed",
		"d=" + s.Domain, "h=" + strings.ToLower(strings.Join(s.Names, ":")), "i=" + n, "s=" + s.Selector, fmt.Sprintf("t=%d", now.Unix()),
	}
	ams, err := s.field("ARC-Message-Signature", tags, m.AppendFields(nil, dkim.Relaxed, s.Names, -1))
	if err != nil {
		return nil, err
	}
	var text []byte
	cv := string(chain.Result)
	if chain.Result == authres.Pass {
		for _, set := range chain.Sets {
			for _, f := range set.fields {
				text = m.AppendField(text, dkim.Relaxed, f-1)
			}
		}
	} else if i > 1 {
		// A broken chain is not signed for: the seal covers its own set
		// (RFC 8617 §5.1.2).
		cv = string(authres.Fail)
	}
	for _, f := range []header.Field{aar, ams} {
		text = append(dkim.AppendRelaxed(text, []byte(f.String())), "\r\n"...)
	}
	tags = []string{"a=" + s.algorithm(), "b=", "cv=" + cv, "d=" + s.Domain, "i=" + n, "s=" + s.Selector, fmt.Sprintf("t=%d", now.Unix())}
	as, err := s.field("ARC-Seal", tags, text)
	if err != nil {
		return nil, err
	}
	return []header.Field{as, ams, aar}, nil
}

// check reports what is wrong with the settings of s.
func (s *Sealer) check() error {
	from := false
	for _, n := range s.Names {
		if strings.HasPrefix(strings.ToLower(n), "arc-") || !header.ValidName(n) {
			return fmt.Errorf("seal: %q cannot be signed", n)
		}
		from = from || strings.EqualFold(n, "from")
	}
	if !from {
		return errors.New("seal: From must be signed")
	}
	if s.algorithm() == "" {
		return errors.New("seal: the key is neither RSA nor Ed25519, or not here")
	}
	return nil
}

func (s *Sealer) algorithm() string {
	if s.Key == nil {
		return ""
	}
	switch s.Key.Public().(type) {
	case *rsa.PublicKey:
		return "rsa-sha256"
	case ed25519.PublicKey:
		return "ed25519-sha256"
	}
	return ""
}

// maxB is how much of b= stands on one line.
const maxB = 900

// field returns a signature field over text and itself; the tag "b=" is where
// the signature goes.
func (s *Sealer) field(name string, tags []string, text []byte) (header.Field, error) {
	unsigned := header.Field{Name: name, Value: strings.Join(tags, "; ")}
	sum := sha256.Sum256(dkim.AppendRelaxed(text, []byte(unsigned.String())))
	var opts crypto.SignerOpts = crypto.SHA256
	if s.algorithm() == "ed25519-sha256" {
		opts = crypto.Hash(0) // RFC 8463 §3
	}
	sig, err := s.Key.Sign(rand.Reader, sum[:], opts)
	if err != nil {
		return header.Field{}, fmt.Errorf("seal: %w", err)
	}
	b := base64.StdEncoding.EncodeToString(sig)
	var lines []string
	for len(b) > maxB {
		lines, b = append(lines, b[:maxB]), b[maxB:]
	}
	tags = slices.Clone(tags)
	tags[slices.Index(tags, "b=")] = "b=" + strings.Join(append(lines, b), " ")
	f, err := header.New(name, strings.Join(tags, "; "))
	if err != nil {
		return header.Field{}, fmt.Errorf("seal: %w", err)
	}
	return f, nil
}
