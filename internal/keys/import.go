package keys

import (
	"bytes"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// Import takes a private key that another program made, as a PEM file, into
// use under its old name. The key that is there already under that name is no
// error when it is the same; another one is ErrExists.
func (s *Store) Import(domain, selector string, text secret.Value) (Key, error) {
	in, m, err := usable(domain, selector, text)
	if err != nil {
		return Key{}, fmt.Errorf("import key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.set.Load().byDomain[in.Domain] {
		if k.Selector == in.Selector && bytes.Equal(k.public(), in.public()) {
			return k, nil
		}
	}
	return s.place(in.Domain, in.Selector, m, entry{State: Active, Since: time.Now()})
}

// Usable returns the key that Import would make of the text, or why it would
// not.
func Usable(domain, selector string, text secret.Value) (Key, error) {
	k, _, err := usable(domain, selector, text)
	return k, err
}

func usable(domain, selector string, text secret.Value) (Key, material, error) {
	d, err := cleanDomain(domain)
	if err != nil {
		return Key{}, material{}, err
	}
	sel, err := cleanSelector(selector)
	if err != nil {
		return Key{}, material{}, err
	}
	signer, err := parsePEM(text.Reveal())
	if err != nil {
		return Key{}, material{}, err
	}
	m, err := encodeKey(signer)
	k := newKey(d, sel, "", signer)
	k.State = Active
	return k, m, err
}
