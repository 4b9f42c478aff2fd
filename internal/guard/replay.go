package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

// Recorded is an event as a file keeps it, one JSON object on a line.
type Recorded struct {
	Time time.Time `json:"time"`
	// Kind is right, wrong, no-account, refused (nobody looked at the password),
	// or one of Kind.
	Kind    string     `json:"kind"`
	Addr    netip.Addr `json:"addr"`
	User    string     `json:"user,omitempty"`
	Service string     `json:"service,omitempty"`
	// Mark tells different passwords of one account apart (Decision.Mark);
	// without one each failure counts as another.
	Mark string `json:"mark,omitempty"`
}

// The kinds of a login that is recorded.
const (
	recordedRight     = "right"
	recordedWrong     = "wrong"
	recordedNoAccount = "no-account"
	recordedRefused   = "refused"
)

// maxRecordedText bounds each text of a Recorded.
const maxRecordedText = 320

var errRecorded = errors.New("not an event of the guard")

// ParseRecorded reads one line.
func ParseRecorded(line []byte) (r Recorded, err error) {
	if err := json.Unmarshal(line, &r); err != nil {
		return Recorded{}, fmt.Errorf("%w: %w", errRecorded, err)
	}
	switch r.Kind {
	case recordedRight, recordedWrong, recordedNoAccount, recordedRefused,
		string(UnknownRecipient), string(RelayAttempt), string(SpamRefused), string(Accepted), string(Reported):
	default:
		return Recorded{}, fmt.Errorf("%w: no such kind", errRecorded)
	}
	switch {
	case r.Time.Year() < 1970 || r.Time.Year() > 2100:
		return Recorded{}, fmt.Errorf("%w: its time is out of range", errRecorded)
	case len(r.User) > maxRecordedText || len(r.Service) > maxRecordedText || len(r.Mark) > maxRecordedText || !printable(r.User+r.Service+r.Mark):
		return Recorded{}, fmt.Errorf("%w: a text is too long or not one line", errRecorded)
	}
	r.Addr = r.Addr.Unmap().WithZone("")
	return r, nil
}

// Append writes r as ParseRecorded reads it, with a newline.
func (r Recorded) Append(dst []byte) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return dst, fmt.Errorf("encode event: %w", err)
	}
	return append(append(dst, b...), '\n'), nil
}

// FromJournal returns the login that a record of authd tells of. A fault of ours
// is none.
func FromJournal(r journal.Record) (Recorded, bool) {
	out := Recorded{Time: r.Time, Addr: r.ClientAddr, User: r.User, Service: r.Service}
	if r.Daemon != "authd" || r.Event != "login" || !r.ClientAddr.IsValid() {
		return out, false
	}
	for _, f := range r.Facts {
		switch f.Key {
		case FactMark:
			out.Mark = f.Value
		case FactUnknown:
			out.Kind = recordedNoAccount
		}
	}
	switch {
	case r.Verdict == "ok":
		out.Kind = recordedRight
	case r.Verdict == "fail" && out.Kind == "":
		out.Kind = recordedWrong
	case r.Verdict == "fail":
	case r.Verdict == "refused" && len(r.Rule) > 4 && r.Rule[:4] == "ban ":
		out.Kind = recordedRefused
	default:
		return out, false
	}
	return out, true
}

// The facts of a login in the journal that a replay needs: Decision.Mark, and
// that nobody has the account.
const (
	FactMark    = "password_mark"
	FactUnknown = "no_account"
)

// Replayed is what a configuration makes of recorded events.
type Replayed struct {
	Events int `json:"events"`
	// Looked counts failed guesses whose password would be looked at, Refused
	// those that would not, Turned right logins that would be refused.
	Looked  int   `json:"guesses_looked_at"`
	Refused int   `json:"guesses_refused"`
	Turned  int   `json:"right_logins_refused"`
	Bans    []Ban `json:"bans"`
	// Unmarked counts failures without a mark.
	Unmarked int `json:"failures_without_a_mark"`
}

// maxReplayed bounds the bans that are told.
const maxReplayed = 10_000

// Replay runs events, in order of time, through a guard with that
// configuration, which begins knowing nothing. A login that was refused then
// counts as a wrong one unless the account proved itself there.
func Replay(ctx context.Context, cfg Config, events iter.Seq2[Recorded, error]) (Replayed, error) {
	var now time.Time
	out := Replayed{Bans: []Ban{}}
	g, err := New(ctx, cfg, Deps{State: forgetful{}, Journal: forgetful{}, Now: func() time.Time { return now }},
		slog.New(slog.DiscardHandler))
	if err != nil {
		return out, err
	}
	known := map[string]bool{}
	for e, err := range events {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return out, err
		}
		if e.Time.After(now) {
			now = e.Time
		}
		out.Events++
		if b := g.run(ctx, e, &out).Ban; b.ID != "" && b.User == "" && b.Rule != string(rulePasswords) && !known[b.ID] && len(out.Bans) < maxReplayed {
			known[b.ID] = true
			out.Bans = append(out.Bans, b)
		}
	}
	return out, nil
}

// run plays one event.
func (g *Guard) run(ctx context.Context, e Recorded, out *Replayed) Decision {
	a := Attempt{Addr: e.Addr, User: e.User, Service: e.Service}
	outcome := Wrong
	switch e.Kind {
	case recordedRight:
		outcome = Right
	case recordedNoAccount:
		outcome = NoAccount
	case recordedWrong, recordedRefused:
	default:
		return g.Note(ctx, Event{Kind: Kind(e.Kind), Addr: e.Addr, User: e.User, Service: e.Service})
	}
	if e.Mark != "" {
		a.Password = secret.String(e.Mark)
	} else if outcome != Right {
		out.Unmarked++
	}
	d := g.Check(ctx, a)
	switch {
	case d.Refuse && outcome == Right:
		out.Turned++
		return d
	case d.Refuse:
		out.Refused++
		return d
	case outcome != Right:
		out.Looked++
	}
	return g.Report(ctx, a, outcome)
}

// forgetful is a state and a journal that keep nothing.
type forgetful struct{}

func (forgetful) Put(context.Context, state.Table, state.Entry, bool) error { return nil }
func (forgetful) Delete(context.Context, state.Table, string) error         { return nil }
func (forgetful) List(context.Context, state.Table, string) ([]state.Entry, error) {
	return nil, nil
}
func (forgetful) Record(journal.Record) {}
