// Package known is the server's own memory of who writes to whom: the
// Message-IDs and recipients of what users sent, the authors of what came, and
// how earlier mail of a domain or a network was judged.
//
// It asks nobody else, and it believes an author only whose domain is proved
// (SPF, DKIM or DMARC). Keys are hashes, so that the state holds no list of who
// knows whom in plain text; a hash of an address can still be guessed.
//
// Limits: what was sent before the memory began is not known, so for its first
// weeks it says neither "first" nor "nobody sent that". A list's members answer
// one another's messages: their answers count only for the member who wrote.
package known

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/freemail"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/publicsuffix"
	"github.com/gatepost/gatepost/internal/state"
)

const (
	// kept is how long a sent message and a correspondent are remembered.
	kept = 90 * 24 * time.Hour
	// keptAuthor is how long an author who wrote is.
	keptAuthor = 180 * 24 * time.Hour
	// settled is how long the memory must have run before it says that it has
	// not seen an author.
	settled = 14 * 24 * time.Hour
	// halfLife is that of what is remembered of a domain or network.
	halfLife = 14 * 24 * time.Hour
	// doubt is how many messages of one kind it takes for half of a full value.
	doubt = 5

	maxRecipients = 50
	maxReferences = 20
	maxIDBytes    = 500
)

// store is what Memory needs of the state.
type store interface {
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
}

// Memory remembers. It is safe for concurrent use. Its errors are transient.
type Memory struct {
	store store
	mu    sync.Mutex // guards reading and writing back of a reputation
}

// New returns the memory in s.
func New(s store) *Memory { return &Memory{store: s} }

// Sent is a message that a user of ours submitted.
type Sent struct {
	// User is the sender's own address, Name the display name of the header
	// From.
	User      mailaddr.Address
	Name      string
	MessageID string
	RcptTo    []mailaddr.Address
	At        time.Time
}

// Came is a message from a stranger.
type Came struct {
	Author mailaddr.Address
	Name   string
	// Proved says that SPF, DKIM or DMARC prove the author's domain.
	Proved bool
	Client netip.Addr
	RcptTo []mailaddr.Address
	// References are the Message-IDs that it answers, with angle brackets.
	References []string
	// OwnDomains are ours.
	OwnDomains []string
	At         time.Time
}

// Facts is what is remembered about a message that came.
type Facts struct {
	Reply, Thread, Correspondent, First bool
	Namesake                            string
	Reputation                          []Reputation
}

// Reputation is how earlier mail of a proved domain or of a network was.
type Reputation struct {
	Of, Key string
	Value   float64 // -1 all wanted to 1 all spam
}

// Sent remembers s.
func (m *Memory) Sent(ctx context.Context, s Sent) error {
	ends := s.At.Add(kept)
	var errs []error
	put := func(t state.Table, key, value string) {
		errs = append(errs, m.store.Put(ctx, t, state.Entry{Key: key, Value: []byte(value), Expires: ends}, false))
	}
	errs = append(errs, m.begin(ctx, s.At))
	user := address(s.User)
	if id, ok := messageID(s.MessageID); ok {
		put(state.Sent, hash("id", id), hash("user", user))
	}
	for i, r := range s.RcptTo {
		if i == maxRecipients {
			break
		}
		put(state.Sent, hash("pair", user, address(r)), "")
	}
	if name := fullName(s.Name); name != "" {
		put(state.Sent, hash("name", s.User.Folded().Domain, name), user)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remember a message that was sent: %w", err)
	}
	return nil
}

// sinceKey holds when the memory began. It is written anew with each message,
// so that it ends only when nothing is sent for as long as anything is kept.
const sinceKey = "since"

func (m *Memory) begin(ctx context.Context, now time.Time) error {
	at, ok, err := m.since(ctx)
	if err != nil {
		return err
	}
	if !ok {
		at = now
	}
	return m.store.Put(ctx, state.Sent, state.Entry{
		Key: sinceKey, Value: at.UTC().AppendFormat(nil, time.RFC3339), Expires: now.Add(2 * keptAuthor)}, false)
}

func (m *Memory) since(ctx context.Context) (at time.Time, ok bool, err error) {
	v, ok, err := m.get(ctx, state.Sent, sinceKey)
	if err != nil || !ok {
		return time.Time{}, false, err
	}
	at, err = time.Parse(time.RFC3339, string(v))
	return at, err == nil, nil
}

// Ask returns what is remembered about c.
func (m *Memory) Ask(ctx context.Context, c Came) (f Facts, err error) {
	defer func() {
		if err != nil {
			f, err = Facts{}, fmt.Errorf("ask the memory: %w", err)
		}
	}()
	since, began, err := m.since(ctx)
	if err != nil {
		return f, err
	}
	rcpts := c.RcptTo[:min(len(c.RcptTo), maxRecipients)]
	if err := m.replies(ctx, c, rcpts, began && c.At.Sub(since) >= kept, &f); err != nil {
		return f, err
	}
	if err := m.author(ctx, c, rcpts, began && c.At.Sub(since) >= settled, &f); err != nil {
		return f, err
	}
	for _, k := range reputationKeys(c) {
		r, err := m.reputation(ctx, k.hash(), c.At)
		if err != nil {
			return f, err
		}
		if v := r.value(); math.Abs(v) >= 0.01 {
			f.Reputation = append(f.Reputation, Reputation{Of: k.of, Key: k.key, Value: v})
		}
	}
	return f, nil
}

// replies looks for messages that c answers. A recipient must be who sent the
// one that is answered: anybody can read the Message-IDs of a public list.
func (m *Memory) replies(ctx context.Context, c Came, rcpts []mailaddr.Address, old bool, f *Facts) error {
	for i, ref := range c.References {
		if i == maxReferences {
			break
		}
		id, ok := messageID(ref)
		if !ok {
			continue
		}
		by, sent, err := m.get(ctx, state.Sent, hash("id", id))
		if err != nil {
			return err
		}
		for _, r := range rcpts {
			f.Reply = f.Reply || sent && string(by) == hash("user", address(r))
		}
		f.Thread = f.Thread || !sent && old && under(domainOfID(id), c.OwnDomains)
	}
	f.Thread = f.Thread && !f.Reply
	return nil
}

func (m *Memory) author(ctx context.Context, c Came, rcpts []mailaddr.Address, old bool, f *Facts) error {
	if c.Author.Domain == "" {
		return nil
	}
	author := address(c.Author)
	for _, r := range rcpts {
		if !c.Proved || f.Correspondent {
			break
		}
		_, ok, err := m.get(ctx, state.Sent, hash("pair", address(r), author))
		if err != nil {
			return err
		}
		f.Correspondent = ok
	}
	if old {
		_, seen, err := m.get(ctx, state.Author, hash("author", author))
		if err != nil {
			return err
		}
		f.First = !seen
	}
	if name := fullName(c.Name); name != "" && !under(c.Author.Domain, c.OwnDomains) && !f.Correspondent {
		return m.namesake(ctx, name, author, c.OwnDomains, f)
	}
	return nil
}

// namesake looks for a user of one of domains with that name. A user of another
// domain on this server is nobody whom the recipients know: he may not decide
// which names they see with suspicion, nor do they learn his address.
func (m *Memory) namesake(ctx context.Context, name, author string, domains []string, f *Facts) error {
	for _, d := range domains {
		own, ok, err := m.get(ctx, state.Sent, hash("name", strings.ToLower(d), name))
		if err != nil {
			return err
		}
		if ok && string(own) != author {
			f.Namesake = string(own)
			break
		}
	}
	return nil
}

// Judged remembers how c was judged: spam goes from 0, wanted, to 1. What is
// between the two is not remembered of a sender, only that the author wrote.
func (m *Memory) Judged(ctx context.Context, c Came, spam float64) error {
	var errs []error
	if c.Author.Domain != "" && spam < 1 {
		errs = append(errs, m.store.Put(ctx, state.Author, state.Entry{
			Key: hash("author", address(c.Author)), Expires: c.At.Add(keptAuthor)}, false))
	}
	if spam <= 0 || spam >= 1 {
		for _, k := range reputationKeys(c) {
			errs = append(errs, m.count(ctx, k.hash(), spam >= 1, c.At))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remember a message that came: %w", err)
	}
	return nil
}

// tally is what is stored of a reputation.
type tally struct {
	Ham  float64   `json:"h"`
	Spam float64   `json:"s"`
	At   time.Time `json:"t"`
}

func (t tally) value() float64 { return (t.Spam - t.Ham) / (t.Spam + t.Ham + doubt) }

// reputation returns what key has at now, faded.
func (m *Memory) reputation(ctx context.Context, key string, now time.Time) (tally, error) {
	v, ok, err := m.get(ctx, state.Reputation, key)
	if err != nil || !ok {
		return tally{At: now}, err
	}
	var t tally
	if err := json.Unmarshal(v, &t); err != nil {
		return tally{At: now}, nil // what cannot be read is not known
	}
	fade := math.Exp2(-max(0, float64(now.Sub(t.At))/float64(halfLife)))
	return tally{Ham: t.Ham * fade, Spam: t.Spam * fade, At: now}, nil
}

func (m *Memory) count(ctx context.Context, key string, spam bool, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := m.reputation(ctx, key, now)
	if err != nil {
		return err
	}
	if spam {
		t.Spam++
	} else {
		t.Ham++
	}
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return m.store.Put(ctx, state.Reputation, state.Entry{Key: key, Value: b, Expires: now.Add(10 * halfLife)}, false)
}

// reputationKey names a domain or a network.
type reputationKey struct{ of, key string }

func (k reputationKey) hash() string { return hash(k.of, k.key) }

// reputationKeys returns whose reputation c bears: the author's organization
// where it is proved, and the client's network.
func reputationKeys(c Came) []reputationKey {
	var out []reputationKey
	if c.Proved {
		if d, ok := publicsuffix.Organization(c.Author.Domain); freemail.Is(d) {
			// Everybody writes from there: the address tells, not the domain.
			out = append(out, reputationKey{"domain", address(c.Author)})
		} else if ok {
			out = append(out, reputationKey{"domain", d})
		}
	}
	if a := c.Client.Unmap(); a.IsGlobalUnicast() && !a.IsPrivate() {
		bits := 24
		if a.Is6() {
			bits = 48
		}
		if p, err := a.Prefix(bits); err == nil {
			out = append(out, reputationKey{"network", p.String()})
		}
	}
	return out
}

func (m *Memory) get(ctx context.Context, t state.Table, key string) (value []byte, ok bool, err error) {
	e, err := m.store.Get(ctx, t, key)
	if errors.Is(err, state.ErrNotFound) {
		return nil, false, nil
	}
	return e.Value, err == nil, err
}

// hash returns a key for words. No word can reach into the next.
func hash(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// address returns the form in which two spellings of an address are one: lower
// case, without the detail of "user+detail".
func address(a mailaddr.Address) string {
	a = a.Folded()
	if base, _, ok := a.CutDetail("+"); ok {
		a = base
	}
	return a.String()
}

// messageID returns s if it has the form of one (RFC 5322 §3.6.4, laxly).
func messageID(s string) (string, bool) {
	s = strings.TrimSpace(s)
	ok := len(s) >= 5 && len(s) <= maxIDBytes && s[0] == '<' && s[len(s)-1] == '>' && !strings.ContainsAny(s, " \t\r\n")
	return s, ok
}

func domainOfID(id string) string {
	_, d, _ := strings.Cut(strings.TrimSuffix(id, ">"), "@")
	return strings.ToLower(d)
}

// under reports whether domain is one of domains or below one.
func under(domain string, domains []string) bool {
	domain = strings.ToLower(domain)
	for _, d := range domains {
		if domain == d || strings.HasSuffix(domain, "."+d) {
			return true
		}
	}
	return false
}

// fullName returns the form in which display names are compared: words in lower
// case in alphabetical order, "" unless there are two at least: "info" and
// "Anna" are nobody's alone.
func fullName(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return r == ' ' || r == '\t' || r == ',' || r == '.' || r == '"' || r == '\'' || r == '\u00a0'
	})
	const most = 6
	if len(words) < 2 || len(words) > most || len(s) > 200 || strings.Contains(s, "@") {
		return ""
	}
	for i := range words {
		for j := i; j > 0 && words[j] < words[j-1]; j-- {
			words[j], words[j-1] = words[j-1], words[j]
		}
	}
	return strings.Join(words, " ")
}

// References returns the Message-IDs in values of In-Reply-To and References,
// the nearest first: at most 20.
func References(inReplyTo, references []string) []string {
	var out []string
	add := func(values []string, last bool) {
		for _, v := range values {
			ids := strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == ',' })
			for i := range ids {
				id := ids[i]
				if last {
					id = ids[len(ids)-1-i]
				}
				if _, ok := messageID(id); ok && len(out) < maxReferences {
					out = append(out, id)
				}
			}
		}
	}
	add(inReplyTo, false)
	add(references, true)
	return out
}

// Correspondent reports whether the user has written to author, whoever says
// so. What cannot be asked is no.
func (m *Memory) Correspondent(ctx context.Context, user string, author mailaddr.Address) bool {
	a, err := mailaddr.Parse(user)
	if err != nil {
		return false
	}
	ok, err := m.Wrote(ctx, a, author)
	return ok && err == nil
}
