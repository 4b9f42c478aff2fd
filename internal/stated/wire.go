package stated

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/state"
)

// Bounds of the protocol.
const (
	// maxBody bounds what is asked: a value of the state in base64 and the rest.
	maxBody = 2 << 20
	// maxClaims bounds a question about limits: many small claims would take far
	// more memory than bytes.
	maxClaims = 128 << 10
	// maxMerging bounds what a peer counted alone, for the same reason: it has room for
	// state.MaxMerged counters with all their grants.
	maxMerging = 512 << 10
	// maxLarge bounds the few calls that carry messages, or what was learned of
	// many.
	maxLarge = 96 << 20
	// maxAnswer bounds an answer: a whole table of the state.
	maxAnswer = 256 << 20
	// maxLine bounds a line of a stream or of a batch.
	maxLine = 2 << 20
	// maxBatch bounds the lines of a batch.
	maxBatch = 1024
)

// entry is a state.Entry. A key is bytes, so not a JSON string.
type entry struct {
	Key     []byte    `json:"key"`
	Value   []byte    `json:"value,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

func entryOf(e state.Entry) entry { return entry{[]byte(e.Key), e.Value, e.Expires} }

func (e entry) entry() state.Entry {
	if e.Value == nil {
		e.Value = []byte{}
	}
	return state.Entry{Key: string(e.Key), Value: e.Value, Expires: e.Expires}
}

// row asks about one row of a table, or with a prefix for key about many.
type row struct {
	Table state.Table `json:"table"`
	Key   []byte      `json:"key"`
}

// put writes a row.
type put struct {
	Table state.Table `json:"table"`
	Entry entry       `json:"entry"`
	Sync  bool        `json:"sync,omitempty"`
}

// claim is a state.Claim.
type claim struct {
	Key    []byte        `json:"key"`
	N      int64         `json:"n"`
	Max    int64         `json:"max"`
	Window time.Duration `json:"window"`
	Soft   bool          `json:"soft,omitempty"`
}

// claims count together.
type claims struct {
	Claims []claim `json:"claims"`
	Ask    bool    `json:"ask,omitempty"`
	// Until is how long the peer waits: it has one clock with us.
	Until time.Time `json:"until,omitzero"`
}

// give takes back.
type give struct {
	Key []byte    `json:"key"`
	N   int64     `json:"n"`
	At  time.Time `json:"at"`
}

// merging is what a peer counted alone.
type merging struct {
	ID       string          `json:"id"`
	Counters []mergedCounter `json:"counters"`
}

// mergedCounter is a state.Merged.
type mergedCounter struct {
	Key    []byte        `json:"key"`
	Max    int64         `json:"max"`
	Window time.Duration `json:"window"`
	Grants []state.Grant `json:"grants"`
}

// counter is a state.Counter.
type counter struct {
	Key []byte `json:"key"`
	state.Counter
}

// event is one line of a stream: something changed.
type event struct {
	// Table and Entry are those of a state.Change, Deleted too.
	Table   state.Table `json:"table,omitempty"`
	Entry   *entry      `json:"entry,omitempty"`
	Deleted bool        `json:"deleted,omitempty"`
	// Missed says that what follows is not all: at the begin of a stream, and when
	// the peer was too slow.
	Missed bool `json:"missed,omitempty"`
	// Build is the version of the process, at the begin of a stream.
	Build string `json:"build,omitempty"`
	// Version is that of the accounts.
	Version uint64 `json:"version,omitempty"`
}

// code is the name of an error that callers branch on, as it goes over the
// socket. The first that an error is counts.
type code struct {
	name string
	err  error
}

// codes has all of them. It is a function, so that nobody can change it.
func codes() []code {
	return []code{
		{"no-entry", state.ErrNotFound}, {"bad-state", state.ErrInvalid}, {"closed", state.ErrClosed}, {"away", state.ErrAway},
		{"not-found", account.ErrNotFound}, {"exists", account.ErrExists}, {"no-domain", account.ErrNoDomain},
		{"not-empty", account.ErrNotEmpty}, {"invalid", account.ErrInvalid}, {"loop", account.ErrLoop},
		{"changed", account.ErrChanged}, {"read-only", account.ErrReadOnly},
		{"quarantine-full", quarantine.ErrFull}, {"spool-full", outgoing.ErrFull}, {"bad-mail", outgoing.ErrInvalid},
		{"bad-features", learn.ErrFeatures}, {"no-from", keys.ErrNoFrom}, {"long-header", keys.ErrHeader},
		{"forbidden", ErrForbidden}, {"bad-request", errRequest},
	}
}

// fault is an error on its way.
type fault struct {
	Text string `json:"error"`
	Code string `json:"code,omitempty"`
}

func faultOf(err error) fault {
	for _, c := range codes() {
		if errors.Is(err, c.err) {
			return fault{err.Error(), c.name}
		}
	}
	return fault{Text: err.Error()}
}

// error returns what errors.Is knows again.
func (f fault) error() error {
	for _, c := range codes() {
		if f.Code == c.name {
			return &remote{f.Text, c.err}
		}
	}
	return errors.New("state: " + f.Text)
}

// remote is an error of the other process.
type remote struct {
	text string
	is   error
}

func (r *remote) Error() string { return r.text }
func (r *remote) Unwrap() error { return r.is }

// decode reads one JSON value of at most most bytes into v, strictly.
func decode(r io.Reader, most int64, v any) error {
	limited := &io.LimitedReader{R: r, N: most + 1}
	d := json.NewDecoder(limited)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows")
		}
	}
	switch {
	case limited.N <= 0:
		return fmt.Errorf("%w: more than %d bytes", errRequest, most)
	case err != nil:
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	return nil
}

// decodeLine reads one line of a stream.
func decodeLine(line []byte, v any) error { return decode(bytes.NewReader(line), maxLine, v) }
