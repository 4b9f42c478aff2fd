package seal

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/verdict"
)

const (
	// Kept is how long a field is good after the arrival of its message, the
	// longest that Postfix keeps one (maximal_queue_lifetime), with an hour for
	// clocks that differ, which a field may also be ahead.
	Kept   = 5*24*time.Hour + clocks
	clocks = time.Hour

	// MaxRcpts bounds the recipients whose own verdict a field carries.
	MaxRcpts = 2000

	maxQueueID = 64
	maxNumber  = 20
	// maxField is the longest value that is read: that of MaxRcpts recipients has
	// 38000 octets with its folding, and may be folded anew on the way.
	maxField = 100 << 10
)

// The reasons why a field is not good.
var (
	ErrMalformed  = errors.New("it is not such a field")
	ErrUnknownKey = errors.New("it was made with a key that is not known here")
	ErrExpired    = errors.New("it is too old or of the future")
	ErrForged     = errors.New("it does not belong to this message, or is forged")
)

// Row is a verdict on a message, in the words of package delivery.
type Row struct {
	// QueueID is letters and digits, or empty.
	QueueID string
	Arrived time.Time
	Score   float64
	Verdict verdict.Verdict
	// ByRcpt is the verdict for a recipient where it differs; case does not
	// count. Beyond MaxRcpts the first ones in the order of letters have theirs,
	// and the others Verdict.
	ByRcpt map[string]verdict.Verdict
}

// Sealed is a verdict that was proved to be on the message.
type Sealed struct {
	// KeyID is that of the key, QueueID that of the host that judged.
	KeyID, QueueID string
	Arrived        time.Time
	Score          float64
	// Verdict is that on the message.
	Verdict verdict.Verdict

	rcpts map[rcptHash]verdict.Verdict
	key   key
	over  [sha256.Size]byte
}

// For returns the verdict for one recipient.
func (s *Sealed) For(rcpt string) verdict.Verdict {
	if len(s.rcpts) > 0 {
		if v, ok := s.rcpts[s.key.rcpt(s.over, rcpt)]; ok {
			return v
		}
	}
	return s.Verdict
}

// rcptHash stands for a recipient: 16 characters of base64.
type rcptHash [12]byte

// rcpt returns the hash of a recipient of the message that over is about.
func (k key) rcpt(over [sha256.Size]byte, rcpt string) rcptHash {
	h := hmac.New(sha256.New, k.secret.Reveal())
	h.Write([]byte("gatepost recipient 1\n"))
	h.Write(over[:])
	h.Write([]byte(strings.ToLower(rcpt)))
	return rcptHash(h.Sum(nil)[:len(rcptHash{})])
}

// sign returns the value of b=; text is all before it, without white space.
func (k key) sign(text string, over [sha256.Size]byte) []byte {
	h := hmac.New(sha256.New, k.secret.Reveal())
	h.Write([]byte("gatepost verdict 1\n" + text + "\n"))
	h.Write(over[:])
	return h.Sum(nil)
}

// Make returns the field with r for the message that s is of.
func (ring *Ring) Make(r Row, s Sum) (header.Field, error) {
	if s.odd {
		return header.Field{}, errHeader
	}
	k, fields := ring.keys[0], s.stable()
	over := s.over(fields)
	f := fieldText{
		keyID: k.id, queueID: r.QueueID, arrived: r.Arrived.Unix(), score: verdict.Round(r.Score), verdict: r.Verdict,
		fields: fields, rcpts: make(map[rcptHash]verdict.Verdict, len(r.ByRcpt)),
	}
	for _, rcpt := range first(r.ByRcpt, MaxRcpts) {
		f.rcpts[k.rcpt(over, rcpt)] = r.ByRcpt[rcpt]
	}
	if err := f.check(); err != nil {
		return header.Field{}, fmt.Errorf("%s: %w", Field, err)
	}
	text := f.text()
	mac := k.sign(withoutBlanks(text), over)
	return header.New(Field, text+" b="+base64.RawURLEncoding.EncodeToString(mac))
}

// first returns the first n keys of m in their order.
func first(m map[string]verdict.Verdict, n int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[:min(n, len(keys))]
}

// Open returns the verdict in a field if it is good at that time, for the message
// that sum gives. Sum is asked for only when all that costs less is right.
func (ring *Ring) Open(value string, now time.Time, sum func() (Sum, error)) (Sealed, error) {
	f, signed, mac, err := parse(value)
	if err != nil {
		return Sealed{}, err
	}
	k, ok := ring.find(f.keyID)
	if !ok {
		return Sealed{}, ErrUnknownKey
	}
	arrived := time.Unix(f.arrived, 0)
	if age := now.Sub(arrived); age > Kept || age < -clocks {
		return Sealed{}, ErrExpired
	}
	s, err := sum()
	if err != nil {
		return Sealed{}, err
	}
	over := s.over(f.fields)
	if s.odd || !hmac.Equal(mac, k.sign(signed, over)) {
		return Sealed{}, ErrForged
	}
	return Sealed{
		KeyID: f.keyID, QueueID: f.queueID, Arrived: arrived, Score: f.score, Verdict: f.verdict,
		rcpts: f.rcpts, key: k, over: over,
	}, nil
}

// fieldText is what stands in a field, in its order, but for b=.
type fieldText struct {
	keyID, queueID string
	arrived        int64
	score          float64
	verdict        verdict.Verdict
	fields         []int // of bound
	rcpts          map[rcptHash]verdict.Verdict
}

// check returns an error for what text cannot carry.
func (f *fieldText) check() error {
	switch {
	case !isQueueID(f.queueID):
		return fmt.Errorf("queue id %q is not letters and digits", f.queueID)
	case f.arrived < 0:
		return errors.New("the time of arrival is before 1970")
	case !isVerdict(f.verdict) || len(f.rcpts) > MaxRcpts:
		return ErrMalformed
	case math.IsNaN(f.score) || math.IsInf(f.score, 0) || len(score(f.score)) > maxNumber:
		return fmt.Errorf("score %g cannot be written", f.score)
	}
	for _, v := range f.rcpts {
		if !isVerdict(v) {
			return ErrMalformed
		}
	}
	return nil
}

func isVerdict(v verdict.Verdict) bool { return v >= verdict.Accept && v <= verdict.Reject }

func isQueueID(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return len(s) <= maxQueueID
}

func score(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// text returns f with blanks where it may be folded.
func (f *fieldText) text() string {
	names := make([]string, len(f.fields))
	for i, n := range f.fields {
		names[i] = bound[n]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=1; k=%s; q=%s; t=%d; s=%s; d=%s; h=%s;", f.keyID, f.queueID, f.arrived, score(f.score), f.verdict, strings.Join(names, ":"))
	for v := verdict.Accept; v <= verdict.Reject; v++ {
		var hashes []string
		for h, of := range f.rcpts {
			if of == v {
				hashes = append(hashes, base64.RawURLEncoding.EncodeToString(h[:]))
			}
		}
		if len(hashes) > 0 {
			slices.Sort(hashes)
			fmt.Fprintf(&b, " %s=%s;", v, strings.Join(hashes, ", "))
		}
	}
	return b.String()
}

func withoutBlanks(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
}

// parse reads the value of a field, unfolded or not. It takes what text writes,
// with white space anywhere, and nothing else. Signed is what b= signs.
func parse(value string) (f fieldText, signed string, mac []byte, err error) {
	if len(value) > maxField {
		return f, "", nil, ErrMalformed
	}
	value = withoutBlanks(value)
	r := reader{rest: value}
	r.ok = r.take("v") == "1"
	f.keyID, f.queueID = r.take("k"), r.take("q")
	f.arrived, f.score = r.integer("t"), r.score("s")
	r.unmarshal(&f.verdict, r.take("d"))
	f.fields = r.fields("h")
	f.rcpts = r.recipients()
	signed = value[:len(value)-len(r.rest)]
	text, found := strings.CutPrefix(r.rest, "b=")
	mac, err = base64.RawURLEncoding.Strict().DecodeString(text)
	if !r.ok || !found || err != nil || len(mac) != sha256.Size || !isKeyID(f.keyID) || f.check() != nil {
		return fieldText{}, "", nil, ErrMalformed
	}
	return f, signed, mac, nil
}

// reader takes a field apart; ok is false after the first thing that is wrong.
type reader struct {
	rest string
	ok   bool
}

// take returns the value of the tag that has to come next.
func (r *reader) take(tag string) string {
	v, end, found := strings.Cut(r.rest, ";")
	v, named := strings.CutPrefix(v, tag+"=")
	if !found || !named {
		r.ok = false
		return ""
	}
	r.rest = end
	return v
}

func (r *reader) integer(tag string) int64 {
	s := r.take(tag)
	n, err := strconv.ParseInt(s, 10, 64)
	r.ok = r.ok && err == nil && strconv.FormatInt(n, 10) == s
	return n
}

func (r *reader) score(tag string) float64 {
	s := r.take(tag)
	if len(s) > maxNumber {
		r.ok = false
		return 0
	}
	x, err := strconv.ParseFloat(s, 64)
	r.ok = r.ok && err == nil && score(x) == s
	return x
}

func (r *reader) unmarshal(v *verdict.Verdict, word string) {
	r.ok = v.UnmarshalText([]byte(word)) == nil && r.ok
}

// fields reads names of bound in their order, each once.
func (r *reader) fields(tag string) []int {
	s := r.take(tag)
	if s == "" {
		return nil
	}
	var out []int
	for _, name := range strings.SplitN(s, ":", len(bound)+1) {
		i := slices.Index(bound[:], name)
		if i < 0 || len(out) > 0 && cmp.Compare(i, out[len(out)-1]) <= 0 {
			r.ok = false
			return nil
		}
		out = append(out, i)
	}
	return out
}

// recipients reads the tags that are named for verdicts.
func (r *reader) recipients() map[rcptHash]verdict.Verdict {
	out := map[rcptHash]verdict.Verdict{}
	for v := verdict.Accept; v <= verdict.Reject && r.ok; v++ {
		if !strings.HasPrefix(r.rest, v.String()+"=") {
			continue
		}
		for text := range strings.SplitSeq(r.take(v.String()), ",") {
			b, err := base64.RawURLEncoding.Strict().DecodeString(text)
			if err != nil || len(b) != len(rcptHash{}) || len(out) == MaxRcpts {
				r.ok = false
				return nil
			}
			out[rcptHash(b)] = v
		}
	}
	return out
}
