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
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	cfg atomic.Pointer[Config] // never nil
	mu  sync.Mutex             // one change or Reload at a time
	set atomic.Pointer[set]    // never nil
	// crash is called before each change on the disk; nil outside of tests.
	crash func(at string)
}

// set is all keys at one time; it does not change.
type set struct {
	all      []Key             // by domain, RSA first, then by selector
	byDomain map[string][]Key  // parts of all
	signing  map[string][]Key  // those that are active
	states   map[string]*index // by domain
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
	cfg := Default()
	s.cfg.Store(&cfg)
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("dkim keys: %w", err)
	}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reconfigure takes other settings, which must be valid.
func (s *Store) Reconfigure(cfg Config) { s.cfg.Store(&cfg) }

// reach lets a test end the process at this place.
func (s *Store) reach(at string) {
	if s.crash != nil {
		s.crash(at)
	}
}

// Reload reads all keys again. When one of them has a fault, those that were
// there before stay in use and the error tells every fault, as Open's does.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reload()
}

func (s *Store) reload() error {
	all, states, err := readAll(s.dir)
	if err != nil {
		return err
	}
	s.set.Store(newSet(all, states))
	for _, k := range all {
		if k.Algorithm != RSA || k.State != Active || k.Bits >= NewRSABits && k.Bits <= VerifiedRSABits {
			continue
		}
		text := "dkim key is short"
		if k.Bits > VerifiedRSABits {
			text = "dkim key is longer than verifiers have to take"
		}
		s.log.LogAttrs(context.Background(), slog.LevelWarn, text, slog.String("key", k.Name()), slog.Int("bits", k.Bits))
	}
	return nil
}

// newSet puts keys in order and gives each its state.
func newSet(all []Key, states map[string]*index) *set {
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
	n := &set{all: all, byDomain: make(map[string][]Key), signing: make(map[string][]Key), states: states}
	for i := range all {
		k := &all[i]
		e := n.index(k.Domain).of(k.Selector)
		k.State, k.Since = e.State, e.Since
		from := i - len(n.byDomain[k.Domain])
		n.byDomain[k.Domain] = all[from : i+1 : i+1]
		if k.State == Active {
			n.signing[k.Domain] = append(n.signing[k.Domain], *k)
		}
	}
	return n
}

// index returns the states of a domain, which must not be changed.
func (t *set) index(domain string) *index {
	if x := t.states[domain]; x != nil {
		return x
	}
	return &index{}
}

// with returns a set with other keys and states of one domain.
func (t *set) with(domain string, x *index, add ...Key) *set {
	states := maps.Clone(t.states)
	if states == nil {
		states = make(map[string]*index)
	}
	states[domain] = x
	return newSet(append(append([]Key(nil), t.all...), add...), states)
}

// without returns a set without a key.
func (t *set) without(gone Key) *set {
	all := slices.DeleteFunc(append([]Key(nil), t.all...), func(k Key) bool { return k.Name() == gone.Name() })
	return newSet(all, t.states)
}

// List returns all keys, by domain, RSA first.
func (s *Store) List() []Key { return append([]Key(nil), s.set.Load().all...) }

// Active returns the keys that sign for domain, RSA first; none when there is
// no active key for it. The caller must not change them. A domain has no part
// in another's keys: mail.example.org needs its own beside example.org.
func (s *Store) Active(domain string) []Key {
	d, err := cleanDomain(domain)
	if err != nil {
		return nil
	}
	return s.set.Load().signing[d]
}

// Waiting reports whether domain has keys of which none is active: why its
// mail is not signed is then another reason than that there is no key.
func (s *Store) Waiting(domain string) bool {
	d, err := cleanDomain(domain)
	if err != nil {
		return false
	}
	t := s.set.Load()
	return len(t.byDomain[d]) > 0 && len(t.signing[d]) == 0
}

// Create makes a key, writes its file and takes it into use. An empty selector
// means DefaultSelector, with a number behind it when that one was used before;
// ErrExists is the answer to a selector that has a key. It never overwrites a
// file.
func (s *Store) Create(domain, selector string, alg Algorithm) (Key, error) {
	return s.create(domain, selector, alg, Active)
}

// CreatePending is Create of a key that signs only after its record is
// published.
func (s *Store) CreatePending(domain, selector string, alg Algorithm) (Key, error) {
	return s.create(domain, selector, alg, Pending)
}

func (s *Store) create(domain, selector string, alg Algorithm, state State) (Key, error) {
	d, err := cleanDomain(domain)
	if err != nil {
		return Key{}, err
	}
	if selector != "" {
		if selector, err = cleanSelector(selector); err != nil {
			return Key{}, err
		}
	}
	m, err := generate(alg)
	if err != nil {
		return Key{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if selector == "" {
		if selector, err = s.freeSelector(d, alg); err != nil {
			return Key{}, err
		}
	}
	return s.place(d, selector, m, entry{State: state, Since: time.Now()})
}

// freeSelector returns a selector that no key of the domain ever had. The
// caller holds mu.
func (s *Store) freeSelector(domain string, alg Algorithm) (string, error) {
	base := DefaultSelector(alg, time.Now())
	for n := 1; n < 1000; n++ {
		sel := base
		if n > 1 {
			sel += strconv.Itoa(n)
		}
		_, known := s.set.Load().index(domain).Keys[sel]
		if _, err := os.Lstat(filepath.Join(s.dir, domain, sel+suffix)); errors.Is(err, fs.ErrNotExist) && !known {
			return sel, nil
		}
	}
	return "", fmt.Errorf("create key: every selector %s... of %s was used before", base, domain)
}

// material is a private key with its file's text.
type material struct {
	signer crypto.Signer
	text   []byte
}

// place writes a new key with its state. The state comes first: a key that
// nobody shows must not sign because we were killed in between. The caller
// holds mu.
func (s *Store) place(domain, selector string, m material, e entry) (Key, error) {
	t := s.set.Load()
	path := filepath.Join(s.dir, domain, selector+suffix)
	if _, err := os.Lstat(path); err == nil {
		return Key{}, fmt.Errorf("create key %s: %w", path, ErrExists)
	}
	if err := t.room(domain, e.State); err != nil {
		return Key{}, fmt.Errorf("create key: %w", err)
	}
	x := t.index(domain).clone()
	x.Keys[selector] = e
	if err := s.writeIndex(domain, x); err != nil {
		return Key{}, err
	}
	err := s.write(path, m.text)
	if errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("create key %s: %w", path, ErrExists)
	}
	if err != nil {
		return Key{}, fmt.Errorf("create key: %w", err)
	}
	k := newKey(domain, selector, path, m.signer)
	s.set.Store(t.with(domain, x, k))
	kept := x.of(selector)
	k.State, k.Since = kept.State, kept.Since
	return k, nil
}

// room says whether one more key of that state may be there.
func (t *set) room(domain string, state State) error {
	if n := len(t.byDomain[domain]); n >= maxStored {
		return fmt.Errorf("%s has %d keys, at most %d can be kept: gatepost dkim remove takes away the revoked ones", domain, n, maxStored)
	}
	if n := len(t.signing[domain]); n >= maxKeys && state == Active {
		return fmt.Errorf("%s has %d keys that sign, at most %d can: gatepost dkim rotate %s replaces those that are there", domain, n, maxKeys, domain)
	}
	return nil
}

// generate makes a private key.
func generate(alg Algorithm) (m material, err error) {
	switch alg {
	case RSA:
		m.signer, err = rsa.GenerateKey(rand.Reader, NewRSABits)
	case Ed25519:
		_, m.signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		return m, fmt.Errorf("%q is not a key algorithm: use rsa or ed25519", alg)
	}
	if err != nil {
		return m, fmt.Errorf("create key: %w", err)
	}
	return encodeKey(m.signer)
}

// encodeKey writes a private key as PKCS #8, with our marker behind it.
func encodeKey(s crypto.Signer) (material, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s)
	if err != nil {
		return material{}, fmt.Errorf("create key: %w", err)
	}
	return material{s, append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), marker...)}, nil
}

// write makes the file at path with its directory, so that after a crash
// there is the whole file or none. link(2), not rename(2), puts it in place:
// it fails when the name is taken.
func (s *Store) write(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	if err := mkdir(dir); err != nil {
		return err
	}
	tmp, err := s.temporary(dir, ".new-*", text)
	if err != nil {
		return err
	}
	s.reach("link key")
	err = os.Link(tmp, path)
	s.reach("remove temporary")
	if err = errors.Join(err, os.Remove(tmp)); err != nil {
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
