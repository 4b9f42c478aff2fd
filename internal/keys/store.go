package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ErrExists is when a key of that name is there already.
var ErrExists = errors.New("key exists")

// Store is the directory of keys. It is safe for concurrent use.
type Store struct {
	dir string
	log *slog.Logger
	mu  sync.Mutex          // one Create or Reload at a time
	set atomic.Pointer[set] // never nil
}

// set is all keys at one time; it does not change.
type set struct {
	all      []Key            // by domain, RSA first, then by selector
	byDomain map[string][]Key // parts of all
}

// Open reads every key below dir, which it makes (0700) when it is not there.
// The error holds all faults, each with its path and the command that mends
// it.
func Open(dir string, log *slog.Logger) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("dkim keys: %w", err)
	}
	s := &Store{dir: abs, log: log}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("dkim keys: %w", err)
	}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads all keys again. When one of them has a fault, those that were
// there before stay in use and the error tells every fault, as Open's does.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reload()
}

func (s *Store) reload() error {
	all, err := readAll(s.dir)
	if err != nil {
		return err
	}
	s.set.Store(newSet(all))
	for _, k := range all {
		if k.Algorithm == RSA && k.Bits < NewRSABits {
			s.log.LogAttrs(context.Background(), slog.LevelWarn, "dkim key is short",
				slog.String("key", k.Name()), slog.Int("bits", k.Bits))
		}
	}
	return nil
}

func newSet(all []Key) *set {
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.Domain != b.Domain {
			return a.Domain < b.Domain
		}
		if a.Algorithm != b.Algorithm {
			return a.Algorithm == RSA
		}
		return a.Selector < b.Selector
	})
	n := &set{all: all, byDomain: make(map[string][]Key)}
	for i, k := range all {
		from := i - len(n.byDomain[k.Domain])
		n.byDomain[k.Domain] = all[from : i+1 : i+1]
	}
	return n
}

// List returns all keys, by domain, RSA first.
func (s *Store) List() []Key { return append([]Key(nil), s.set.Load().all...) }

// Active returns the keys that sign for domain, RSA first; none when there is
// no key for it. The caller must not change them. A domain has no part in
// another's keys: mail.example.org needs its own beside example.org.
func (s *Store) Active(domain string) []Key {
	d, err := cleanDomain(domain)
	if err != nil {
		return nil
	}
	return s.set.Load().byDomain[d]
}

// Create makes a key, writes its file and takes it into use. An empty selector
// means DefaultSelector, with a number behind it when that one is taken;
// ErrExists is the answer to a selector that is. It never overwrites a file.
func (s *Store) Create(domain, selector string, alg Algorithm) (Key, error) {
	d, err := cleanDomain(domain)
	if err != nil {
		return Key{}, err
	}
	base := DefaultSelector(alg, time.Now())
	if selector != "" {
		if base, err = cleanSelector(selector); err != nil {
			return Key{}, err
		}
	}
	priv, err := generate(alg)
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return Key{}, fmt.Errorf("create key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})

	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.set.Load().byDomain[d]); n >= maxKeys {
		return Key{}, fmt.Errorf("create key: %s has %d keys, at most %d can sign", d, n, maxKeys)
	}
	for n := 1; ; n++ {
		sel := base
		if n > 1 {
			sel += strconv.Itoa(n)
		}
		path := filepath.Join(s.dir, d, sel+suffix)
		err := write(path, text)
		if errors.Is(err, fs.ErrExist) && selector == "" && n < 100 {
			continue
		}
		if errors.Is(err, fs.ErrExist) {
			return Key{}, fmt.Errorf("create key %s: %w", path, ErrExists)
		}
		if err != nil {
			return Key{}, fmt.Errorf("create key: %w", err)
		}
		k := newKey(d, sel, path, priv)
		s.set.Store(newSet(append(s.List(), k)))
		return k, nil
	}
}

func generate(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case RSA:
		return rsa.GenerateKey(rand.Reader, NewRSABits)
	case Ed25519:
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		return priv, err
	}
	return nil, fmt.Errorf("%q is not a key algorithm: use rsa or ed25519", alg)
}

// write makes the file at path with its directory, so that after a crash
// there is the whole file or none. link(2), not rename(2), puts it in place:
// it fails when the name is taken.
func write(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	if err := mkdir(dir); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// mkdir makes a domain's directory durably, if it is not there.
func mkdir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
