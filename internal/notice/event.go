package notice

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is what a notice is about.
type Kind string

// The kinds.
const (
	// Limit: a limit refused somebody.
	Limit Kind = "limit"
	// Warning: an account does what its owner never did.
	Warning Kind = "warning"
	// Hold: the sending of an account is held; Release: it may send again.
	Hold    Kind = "hold"
	Release Kind = "release"
	// Login: an account was used from elsewhere. Guesses: somebody tries to.
	Login   Kind = "login"
	Guesses Kind = "guesses"
)

// Kinds lists all kinds.
var Kinds = []Kind{Limit, Warning, Hold, Release, Login, Guesses}

// Event is something to tell. Templates see its fields, the webhook its JSON.
type Event struct {
	Kind Kind `json:"kind"`
	// Key is what it is about: within Window one Key of a Kind is told once.
	Key    string        `json:"key"`
	Window time.Duration `json:"-"`
	Time   time.Time     `json:"time"`
	// User is the account that it concerns, "" for none. It gets a mail too,
	// unless AdminOnly.
	User      string `json:"user,omitempty"`
	AdminOnly bool   `json:"-"`
	// UserOnly leaves the administrators out of the mail: there may be one for each
	// user a day. Journal and webhook have it.
	UserOnly bool `json:"-"`
	// Title is the event in one line, Lines are the evidence, Facts what else is
	// worth knowing.
	Title string   `json:"title"`
	Lines []string `json:"lines,omitempty"`
	Facts []Fact   `json:"facts,omitempty"`
	// Host is this server, filled in by Tell.
	Host string `json:"host"`
}

// Fact is a named fact.
type Fact struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

const (
	maxLines = 50
	maxLine  = 1000
)

// flat makes one line of a text.
var flat = strings.NewReplacer("\r", " ", "\n", " ")

// bound cuts what is too long, in a copy, and makes a line of each text.
func (e Event) bound() Event {
	short := func(s string) string {
		s = flat.Replace(s)
		for i := maxLine; len(s) > maxLine && i > maxLine-4; i-- {
			if utf8.RuneStart(s[i]) {
				return s[:i]
			}
		}
		return s[:min(len(s), maxLine)]
	}
	e.Lines = slices.Clone(e.Lines[:min(len(e.Lines), maxLines)])
	for i := range e.Lines {
		e.Lines[i] = short(e.Lines[i])
	}
	e.Facts = slices.Clone(e.Facts[:min(len(e.Facts), maxLines)])
	for i, f := range e.Facts {
		e.Facts[i] = Fact{short(f.Key), short(f.Value)}
	}
	e.Title, e.Key, e.User = short(e.Title), short(e.Key), short(e.User)
	return e
}
