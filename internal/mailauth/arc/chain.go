package arc

import (
	"context"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
)

// MaxSets bounds the sets of a chain (RFC 8617 §4.2.1).
const MaxSets = 50

// The fields of a set, in lower case.
const (
	resultsField = "arc-authentication-results"
	messageField = "arc-message-signature"
	sealField    = "arc-seal"
)

// Result is the verdict about a chain (RFC 8617 §5.2).
type Result struct {
	// Result is none, pass or fail.
	Result authres.Result
	// Reason says why it is fail.
	Reason string
	// Temporary says that it is fail only because DNS did not answer.
	Temporary bool
	// Sets are those of the chain, the first handler first. They are only told
	// when there is one of each field for each instance.
	Sets []Set
	// OldestPass is the lowest instance from which on every
	// ARC-Message-Signature holds; 0 when all do (RFC 8617 §5.2, step 5). It
	// has no meaning unless Result is pass.
	OldestPass int
	// next is the instance of the set that Seal adds, broken that no set may
	// be added.
	next   int
	broken bool
}

// Set is what one handler added.
type Set struct {
	Instance int
	// AuthservID and Results are what stands in ARC-Authentication-Results
	// behind the instance: who says so, and the resinfos as text, unfolded.
	AuthservID, Results string
	// Message and Seal are the verdicts about the signatures, empty where they
	// were not looked at: in a chain that ends in cv=fail, and a message
	// signature older than one that does not hold.
	Message, Seal dkim.Result
	fields        [3]int // results, message, seal
	message, seal *dkim.Signature
	body          *dkim.BodyHash
}

// Verifier verifies the chain of one message.
type Verifier struct {
	m    *dkim.Message
	keys *dkim.Keys
	res  Result
}

// Start reads the chain of m, asks for its body hashes and for its keys, and
// does not wait for either. The lookups end with ctx.
func Start(ctx context.Context, m *dkim.Message, keys *dkim.Keys, now time.Time) *Verifier {
	v := &Verifier{m: m, keys: keys}
	if reason := v.collect(); reason != "" {
		v.fail(reason)
		return v
	}
	if len(v.res.Sets) == 0 {
		v.res.Result = authres.None
		return v
	}
	if reason := v.structure(); reason != "" {
		v.fail(reason)
		return v
	}
	// What the chain hangs on is asked for first, should dkim.MaxKeys be
	// reached: the seals, and the last message signature. The older ones only
	// tell OldestPass (RFC 8617 §5.2, step 5, optional).
	sets := v.res.Sets
	for i := range sets {
		keys.Fetch(ctx, sets[i].seal)
	}
	for i := len(sets) - 1; i >= 0; i-- {
		sets[i].body = dkim.Prepare(ctx, m, keys, sets[i].message, now)
	}
	return v
}

func (v *Verifier) fail(reason string) {
	v.res.Result, v.res.Reason = authres.Fail, reason
}

// collect sorts the fields into sets.
func (v *Verifier) collect() string {
	raw := v.m.Raw()
	results, messages, seals := v.m.Named(resultsField), v.m.Named(messageField), v.m.Named(sealField)
	n := max(len(results), len(messages), len(seals))
	v.res.next = min(n, MaxSets) + 1
	switch {
	case raw.HeaderCut:
		v.res.broken = true
		return "header too large"
	case n > MaxSets:
		v.res.broken = true
		return "too many sets"
	}
	sets := make([]Set, n)
	bad := ""
	note := func(i, kind, field int, reason string) *Set {
		if i > 0 {
			v.res.next = max(v.res.next, i+1)
		}
		switch {
		case reason != "":
		case i < 1 || i > n:
			reason = "instances are not in a row"
		case sets[i-1].fields[kind] > 0:
			reason = "an instance has a field twice"
		default:
			sets[i-1].fields[kind] = field + 1
			return &sets[i-1]
		}
		if bad == "" {
			bad = reason
		}
		return nil
	}
	for _, f := range results {
		i, id, text, reason := parseResults(header.Unfold(raw.Fields[f].Value))
		if s := note(i, 0, f, reason); s != nil {
			s.Instance, s.AuthservID, s.Results = i, id, text
		}
	}
	for _, f := range messages {
		m := dkim.ParseSignature(dkim.ARCMessage, raw, f)
		if s := note(m.Instance, 1, f, m.Bad); s != nil {
			s.message = m
		}
	}
	for _, f := range seals {
		m := dkim.ParseSignature(dkim.ARCSeal, raw, f)
		// A chain that a handler found broken stays so: cv counts even if the
		// rest of the field is bad.
		if m.CV == "fail" && m.Instance >= v.res.next-1 {
			v.res.broken = true
		}
		if s := note(m.Instance, 2, f, m.Bad); s != nil {
			s.seal = m
		}
	}
	v.res.broken = v.res.broken || v.res.next > MaxSets
	if bad != "" {
		return bad
	}
	for i := range sets {
		if f := sets[i].fields; f[0] == 0 || f[1] == 0 || f[2] == 0 {
			return "an instance lacks a field"
		}
	}
	v.res.Sets = sets
	return ""
}

// parseResults reads an ARC-Authentication-Results (RFC 8617 §4.1.1).
func parseResults(value string) (instance int, id, text, bad string) {
	tag, rest, ok := strings.Cut(value, ";")
	name, n, eq := strings.Cut(tag, "=")
	if !ok || !eq || strings.Trim(name, " \t") != "i" {
		return 0, "", "", "results without an instance"
	}
	instance, ok = dkim.ParseInstance(strings.Trim(n, " \t"))
	if !ok {
		return 0, "", "", "malformed instance"
	}
	id, text, _ = strings.Cut(rest, ";")
	return instance, strings.Trim(id, " \t"), strings.Trim(text, " \t"), ""
}

// structure looks at what the chain says of itself (RFC 8617 §5.2, steps 2 and
// 3).
func (v *Verifier) structure() string {
	sets := v.res.Sets
	if sets[len(sets)-1].seal.CV == "fail" {
		return "a handler before us found the chain broken"
	}
	for i := range sets {
		want := "pass"
		if i == 0 {
			want = "none"
		}
		if sets[i].seal.CV != want {
			return "a seal has the wrong cv="
		}
	}
	return ""
}

// Result returns the verdict. It comes after Message.ReadBody, and waits for
// the keys.
func (v *Verifier) Result() Result {
	if v.res.Result != "" {
		return v.res
	}
	sets := v.res.Sets
	for i := len(sets) - 1; i >= 0; i-- {
		s := &sets[i]
		s.Message = dkim.Verify(v.m, v.keys, s.message, s.body)
		if i == len(sets)-1 {
			v.hold(&s.Message, "message signature")
		}
		if !held(&s.Message) {
			v.res.OldestPass = i + 2
			break
		}
	}
	v.seals()
	if v.res.Result == "" {
		v.res.Result = authres.Pass
	}
	return v.res
}

// held reports whether a signature of a chain holds.
func held(r *dkim.Result) bool { return r.Result == authres.Pass }

// hold makes the chain fail if r does not hold. A reason that lasts outweighs
// one that does not.
func (v *Verifier) hold(r *dkim.Result, what string) {
	temporary := r.Result == authres.TempError
	if held(r) || v.res.Result == authres.Fail && (temporary || !v.res.Temporary) {
		return
	}
	v.fail(what + ": " + r.Reason)
	v.res.Temporary = temporary
}
