package abuse

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// The rows of the watcher in the table Sent. No other key there has a slash.
const (
	habitPrefix   = "habit/"
	messagePrefix = "mid/"
	queuePrefix   = "qid/"
	sourcesKey    = "habit//sources"

	// habitKept is longer than anything else in the table is kept, so that a
	// habit goes last when the table is full.
	habitKept = 100 * 24 * time.Hour
	// messageKept is how long a notification can come after its message:
	// Postfix's maximal_queue_lifetime and a day.
	messageKept = 6 * 24 * time.Hour
)

// store is what the watcher needs of the state.
type store interface {
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
}

// sum is a key that tells nobody what it is of.
func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(h[:18])
}

func (w *Watcher) get(ctx context.Context, key string) ([]byte, bool, error) {
	e, err := w.deps.State.Get(ctx, state.Sent, key)
	if errors.Is(err, state.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("habits of senders: %w", err)
	}
	return e.Value, true, nil
}

func (w *Watcher) put(ctx context.Context, key string, v []byte, ends time.Time) error {
	err := w.deps.State.Put(ctx, state.Sent, state.Entry{Key: key, Value: v, Expires: ends}, false)
	if err != nil {
		return fmt.Errorf("habits of senders: %w", err)
	}
	return nil
}

// readHabit returns what is stored of an account. A row that cannot be read is
// no habit.
func (w *Watcher) readHabit(ctx context.Context, account string) (h Habit, err error) {
	b, ok, err := w.get(ctx, habitPrefix+account)
	if err != nil || !ok {
		return h, err
	}
	_ = h.UnmarshalBinary(b)
	return h, nil
}

func (w *Watcher) writeHabit(ctx context.Context, account string, h *Habit, now time.Time) error {
	b, err := h.AppendBinary(nil)
	if err != nil {
		return err
	}
	return w.put(ctx, habitPrefix+account, b, now.Add(habitKept))
}

// sources is when each source was heard of, and since when the watcher runs.
type sources struct {
	Since time.Time            `json:"since"`
	Heard map[source]time.Time `json:"heard"`
}

// source is where signals come from.
type source string

const (
	fromMilter  source = "submitted mail"
	fromScan    source = "outbound scan"
	fromPolicy  source = "refusals at RCPT"
	fromPostfix source = "notifications of postfix"
	fromOutside source = "notifications from outside"
	fromLogin   source = "logins"
	fromGeo     source = "countries"
)

// sourcesOf says what each signal is made of; it is watched when one of them
// was heard.
func sourcesOf(n Name) []source {
	switch n {
	case SignalRefused:
		return []source{fromPolicy, fromPostfix, fromOutside}
	case SignalCountries:
		return []source{fromGeo}
	case SignalMarked:
		return []source{fromScan}
	case SignalHasty:
		return []source{fromLogin}
	}
	return []source{fromMilter}
}

// remedies say what gives a source.
func remedy(s source) string {
	switch s {
	case fromPostfix:
		return "set internal_mail_filter_classes = bounce, notify and non_smtpd_milters in main.cf, such notifications are matched by their queue id"
	case fromOutside:
		return "no notification came in on the milter of port 25 yet"
	case fromPolicy:
		return "policyd refused no recipient of a user yet"
	case fromScan:
		return "let the milter score what users submit"
	case fromLogin:
		return "no login came to authd yet"
	case fromGeo:
		return "name a file in policyd.geo_file"
	}
	return "no user submitted mail yet"
}

func (w *Watcher) readSources(ctx context.Context) error {
	b, ok, err := w.get(ctx, sourcesKey)
	if err != nil {
		return err
	}
	var s sources
	if !ok || json.Unmarshal(b, &s) != nil || s.Since.IsZero() {
		s = sources{Since: time.Now()}
	}
	if s.Heard == nil {
		s.Heard = map[source]time.Time{}
	}
	w.sources = s
	return nil
}

func (w *Watcher) writeSources(ctx context.Context, now time.Time) error {
	b, err := json.Marshal(w.sources)
	if err != nil {
		return err
	}
	return w.put(ctx, sourcesKey, b, now.Add(3*habitKept))
}
