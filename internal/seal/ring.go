package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/secret"
)

// Bounds of a file of keys.
const (
	maxKeys    = 8
	maxKeyFile = 64 << 10
	minKey     = 32 // bytes, before base64
	maxKeyID   = 32
)

// ErrOff is what happens without keys.
var ErrOff = errors.New("there are no verdict keys")

// Ring are the keys that the hosts share. The first one signs, each of them
// proves. It does not change.
type Ring struct{ keys []key }

type key struct {
	id     string
	secret secret.Value
}

// ReadFile reads a file of keys, one a line: an id of letters, digits, "-" and
// "_", white space, and 32 bytes or more in base64. Empty lines and those that
// begin with "#" are none. A file that the group may write, or others may read,
// is an error.
func ReadFile(path string) (*Ring, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("verdict keys: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("verdict keys: %w", err)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("verdict keys: %s is no file", path)
	case st.Mode().Perm()&0o037 != 0:
		return nil, fmt.Errorf("verdict keys: %s has mode %04o, others could forge verdicts: chmod 640 %s", path, st.Mode().Perm(), path)
	case st.Size() > maxKeyFile:
		return nil, fmt.Errorf("verdict keys: %s is longer than %d bytes", path, maxKeyFile)
	}
	b := make([]byte, st.Size())
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return nil, fmt.Errorf("verdict keys: read %s: %w", path, err)
	}
	r, err := parseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("verdict keys: %s: %w", path, err)
	}
	return r, nil
}

// parseKeys reads the content of a file of keys. An error never quotes it.
func parseKeys(b []byte) (*Ring, error) {
	r := &Ring{}
	for i, line := range bytes.Split(b, []byte("\n")) {
		words := bytes.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if len(words) != 2 || !isKeyID(string(words[0])) {
			return nil, fmt.Errorf("line %d is not an id and a key in base64", i+1)
		}
		k, err := base64.StdEncoding.Strict().DecodeString(string(words[1]))
		if err != nil || len(k) < minKey {
			return nil, fmt.Errorf("the key of line %d is not %d bytes or more in base64: make one with openssl rand -base64 32", i+1, minKey)
		}
		id := string(words[0])
		if _, ok := r.find(id); ok {
			return nil, fmt.Errorf("line %d has the id of another key", i+1)
		}
		if r.keys = append(r.keys, key{id, secret.New(k)}); len(r.keys) > maxKeys {
			return nil, fmt.Errorf("there are more than %d keys", maxKeys)
		}
	}
	if len(r.keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return r, nil
}

func isKeyID(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxKeyID
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (r *Ring) find(id string) (key, bool) {
	for _, k := range r.keys {
		if k.id == id {
			return k, true
		}
	}
	return key{}, false
}

// Live is a Ring that can be exchanged while it is used. The zero Live, and a
// nil one, has no keys. It is safe for concurrent use.
type Live struct{ now atomic.Pointer[Ring] }

// Set exchanges the Ring; nil is none.
func (l *Live) Set(r *Ring) { l.now.Store(r) }

// On reports whether there are keys.
func (l *Live) On() bool { return l.ring() != nil }

// ring is looked at once by a caller: a reload may take the keys away meanwhile.
func (l *Live) ring() *Ring {
	if l == nil {
		return nil
	}
	return l.now.Load()
}

// Make is Ring.Make, and ErrOff without keys.
func (l *Live) Make(r Row, s Sum) (header.Field, error) {
	ring := l.ring()
	if ring == nil {
		return header.Field{}, ErrOff
	}
	return ring.Make(r, s)
}

// Open is Ring.Open, and ErrOff without keys.
func (l *Live) Open(value string, now time.Time, sum func() (Sum, error)) (Sealed, error) {
	ring := l.ring()
	if ring == nil {
		return Sealed{}, ErrOff
	}
	return ring.Open(value, now, sum)
}
