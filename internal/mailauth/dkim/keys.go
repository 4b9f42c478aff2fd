package dkim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// maxRecords bounds the key records that are tried at one name, maxSpare those
// behind the first of all names of one message: a message with 8 signatures and
// 50 sets could else cost 432 operations with keys of 4096 bits.
const (
	maxRecords = 4
	maxSpare   = 16
)

// MaxKeys bounds the names that are asked for one message. A chain of 50 sets,
// each with two keys of its own, would else be 100 questions; real ones have two
// or three. The keys of DKIM signatures are asked for first and always fit.
const MaxKeys = 32

// chainAtOnce bounds the questions for keys of ARC fields that are under way
// together. Those of the 8 DKIM signatures never wait: a key that is not asked
// for in time is a temperror, which a stranger must not be able to bring about.
const chainAtOnce = 4

// maxName is the length of a name in DNS (RFC 1035 §2.3.4), as text.
const maxName = 253

// txtResolver is all that verification needs of DNS.
type txtResolver interface {
	// LookupTXT returns the TXT records at name, each with its strings joined
	// (RFC 6376 §3.6.2.2). No record is an empty result and a nil error; an
	// error is temporary.
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// recaller is a txtResolver that can tell what it knows without a wait.
type recaller interface {
	RecallTXT(name string) (records []string, known bool)
}

// Keys looks up the keys of one message, each name once and all at the same
// time. It belongs to one goroutine.
type Keys struct {
	res   txtResolver
	names map[string]*records
	chain chan struct{} // one for each question of chainAtOnce
	wg    sync.WaitGroup
	spare int // records behind the first that were tried
}

// records are what stands at one name.
type records struct {
	done   chan struct{}
	txt    []string
	err    error
	parsed bool
	keys   []key
	bad    []string // of each key, why it is of no use
}

// NewKeys returns Keys that ask res.
func NewKeys(res txtResolver) *Keys {
	return &Keys{res: res, names: make(map[string]*records), chain: make(chan struct{}, chainAtOnce)}
}

// Wait returns when no lookup is under way. Lookups end with the context of
// Fetch at the latest.
func (k *Keys) Wait() { k.wg.Wait() }

// Err returns a panic of the resolver as an error, nil for none; the signature
// that it hit is temperror. It waits for all lookups.
func (k *Keys) Err() error {
	k.wg.Wait()
	var errs []error
	for _, r := range k.names {
		if p := (*panicError)(nil); errors.As(r.err, &p) {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}

type panicError struct{ value any }

func (p *panicError) Error() string { return fmt.Sprintf("key lookup panicked: %v", p.value) }

// Names returns how many names were asked for.
func (k *Keys) Names() int { return len(k.names) }

// Fetch begins to look up the key of s, and does not wait. Beyond MaxKeys names
// it does nothing.
func (k *Keys) Fetch(ctx context.Context, s *Signature) {
	name := s.KeyName()
	if s.Bad != "" || len(name) > maxName || k.names[name] != nil || len(k.names) == MaxKeys {
		return
	}
	r := &records{done: make(chan struct{})}
	k.names[name] = r
	if known, ok := k.res.(recaller); ok {
		if r.txt, ok = known.RecallTXT(name); ok {
			close(r.done)
			return
		}
	}
	k.wg.Go(func() {
		defer close(r.done)
		defer func() {
			if v := recover(); v != nil {
				r.err = &panicError{v}
			}
		}()
		if s.Kind == DKIM {
			r.txt, r.err = k.res.LookupTXT(ctx, name)
			return
		}
		select {
		case k.chain <- struct{}{}:
			defer func() { <-k.chain }()
			r.txt, r.err = k.res.LookupTXT(ctx, name)
		case <-ctx.Done():
			r.err = ctx.Err()
		}
	})
}

// verdict is what the key of a signature says.
type verdict struct {
	result  authres.Result
	reason  string
	bits    int
	testing bool
}

// check waits for the key of s, and finds out whether s is its signature of the
// digest. Several key records are tried in turn, as RFC 6376 §6.1.2 allows; the
// best verdict counts.
func (k *Keys) check(s *Signature, digest func() [sha256.Size]byte) verdict {
	r := k.names[s.KeyName()]
	switch {
	case r == nil && len(k.names) == MaxKeys:
		return verdict{result: authres.PermError, reason: "too many keys in one message"}
	case r == nil:
		return verdict{result: authres.PermError, reason: "no key"}
	}
	<-r.done
	if r.err != nil {
		return verdict{result: authres.TempError, reason: "key lookup had no answer"}
	}
	r.parse()
	best := verdict{result: authres.PermError, reason: "no key"}
	for i := range r.keys {
		if i > 0 && k.spare == maxSpare {
			break
		} else if i > 0 {
			k.spare++
		}
		v := verdict{bits: r.keys[i].bits, testing: r.keys[i].testing}
		v.result, v.reason = try(&r.keys[i], r.bad[i], s, digest)
		if i == 0 || v.result != authres.PermError {
			best = v
		}
		if v.result == authres.Pass {
			break
		}
	}
	return best
}

// parse reads the records. Of several, those that are no keys at all (SPF
// records under a wildcard, for example) do not count.
func (r *records) parse() {
	if r.parsed {
		return
	}
	r.parsed = true
	for _, txt := range r.txt {
		if len(r.keys) == maxRecords {
			return
		}
		k, bad := parseKey(txt)
		if bad != "" && len(r.txt) > 1 && !strings.Contains(txt, "p=") {
			continue
		}
		r.keys, r.bad = append(r.keys, k), append(r.bad, bad)
	}
}

// try holds s against one key.
func try(k *key, bad string, s *Signature, digest func() [sha256.Size]byte) (authres.Result, string) {
	switch {
	case bad != "":
		return authres.PermError, bad
	case !strings.HasPrefix(s.Algorithm, k.typ+"-"):
		return authres.PermError, "key is not for this algorithm"
	case k.strict && s.Kind == DKIM && s.identityDomain() != s.Domain:
		return authres.PermError, "identifier is not of the key's domain"
	case !k.verify(digest(), s.sig):
		return authres.Fail, "signature does not match"
	}
	return authres.Pass, ""
}
