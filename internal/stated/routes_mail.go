package stated

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/quarantine"
)

// maxMessage bounds a message that comes behind a line; it is not kept in
// memory.
const maxMessage = 4 << 30

// key is a signing key as the milter knows it: without what signs.
type key struct {
	Domain    string         `json:"domain"`
	Selector  string         `json:"selector"`
	Algorithm keys.Algorithm `json:"algorithm,omitempty"`
	Bits      int            `json:"bits,omitempty"`
	State     keys.State     `json:"state,omitempty"`
	Since     time.Time      `json:"since,omitzero"`
	// PEM is the private key, of the domain that seals only.
	PEM []byte `json:"pem,omitempty"`
}

// mailRoutes serve keys, the quarantine and the spool of our own mail.
func (s *Server) mailRoutes() {
	s.onBody("quarantine/put", rightQuarantine, large, func(ctx context.Context, _ *peer, body io.Reader) (any, error) {
		var e quarantine.Entry
		return behindLine(body, &e, func(msg io.Reader) (any, error) {
			if e.Size < 0 || e.Size > maxMessage {
				return nil, fmt.Errorf("%w: a message of %d bytes", errRequest, e.Size)
			}
			return s.parts.Quarantine.Put(ctx, e, msg)
		})
	})
	onSize(s, "outgoing/add", rightMail, maxLarge, huge, func(_ context.Context, _ *peer, m outgoing.Mail) (any, error) {
		return nil, s.parts.Outgoing.Add(m)
	})
	on(s, "outgoing/wrote", rightWrote, func(_ context.Context, _ *peer, id string) (any, error) {
		kind, ok := s.parts.Outgoing.Wrote(id)
		return wrote{kind, ok}, nil
	})
	on(s, "keys/srs", rightSRSKeys, func(context.Context, *peer, struct{}) (any, error) {
		all, err := s.parts.SRS()
		out := make([][]byte, len(all))
		for i, k := range all {
			out[i] = k.Reveal()
		}
		return out, err
	})
	on(s, "keys/list", rightSigningKeys, func(_ context.Context, _ *peer, in lookup) (any, error) { return s.keyList(in.Name) })
	s.onBody("keys/sign", rightSigningKeys, large, func(_ context.Context, _ *peer, body io.Reader) (any, error) {
		var with []key
		return behindLine(body, &with, func(msg io.Reader) (any, error) {
			signers, err := s.signers(with)
			if err != nil {
				return nil, err
			}
			return s.parts.Keys.Sign(signers, msg)
		})
	})
}

// wrote is what waits with a Message-ID.
type wrote struct {
	Kind  outgoing.Kind `json:"kind,omitempty"`
	Waits bool          `json:"waits,omitempty"`
}

// keyList describes the keys of a domain, or with "" all. The milter seals by itself, so it is given the keys
// of the one domain that seals; all others stay here.
func (s *Server) keyList(domain string) ([]key, error) {
	seal := ""
	if s.parts.Seals != nil {
		seal = strings.TrimSuffix(s.parts.Seals(), ".")
	}
	var out []key
	for _, k := range s.parts.Keys.List() {
		if domain != "" && k.Domain != domain {
			continue
		}
		d := key{Domain: k.Domain, Selector: k.Selector, Algorithm: k.Algorithm, Bits: k.Bits, State: k.State, Since: k.Since}
		if strings.EqualFold(k.Domain, seal) && k.State == keys.Active {
			der, err := x509.MarshalPKCS8PrivateKey(k.Signer())
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", k.Name(), err)
			}
			d.PEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		}
		out = append(out, d)
	}
	return out, nil
}

// signers finds keys that are to sign. One that has gone meanwhile is an error:
// the message is tried again with those that are there then.
func (s *Server) signers(with []key) ([]keys.Key, error) {
	var out []keys.Key
	for _, w := range with {
		found := false
		for _, k := range s.parts.Keys.Active(w.Domain) {
			if k.Selector == w.Selector {
				out, found = append(out, k), true
			}
		}
		if !found {
			return nil, fmt.Errorf("key %s._domainkey.%s does not sign any more", w.Selector, w.Domain)
		}
	}
	return out, nil
}

// behindLine decodes the first line into v and hands on what follows. The rest of
// it is read in any case, so that the peer hears the answer.
func behindLine(body io.Reader, v any, f func(io.Reader) (any, error)) (any, error) {
	r := bufio.NewReaderSize(io.LimitReader(body, maxMessage), 64<<10)
	line, err := readLine(r)
	if err == nil {
		err = decodeLine(line, v)
	}
	if err != nil {
		return nil, err
	}
	out, err := f(r)
	if err != nil {
		_, _ = io.Copy(io.Discard, r) // a broken connection has its own error
	}
	return out, err
}

// readLine reads a line of at most maxLine bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case len(line) > maxLine:
			return nil, fmt.Errorf("%w: a line of more than %d bytes", errRequest, maxLine)
		case err != bufio.ErrBufferFull: //nolint:errorlint // ReadSlice returns it as it is
			return nil, fmt.Errorf("%w: %w", errRequest, err)
		}
	}
}
