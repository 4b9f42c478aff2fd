package state

import (
	"context"
	"errors"
	"time"
)

// Table names a kind of entries. The tables are a closed set.
type Table string

// The tables.
const (
	// Delivery has the verdict of each accepted message until it is delivered.
	// It is the one table that drops nothing before its time.
	Delivery Table = "delivery"
	// Ban has refused networks.
	Ban Table = "ban"
	// Login has devices that proved themselves and failed attempts.
	Login Table = "login"
	// Limit has what limits need beside counters: who was told when.
	Limit Table = "limit"
	// Seen has greylist triplets.
	Seen Table = "seen"
	// Sent has what users sent, and to whom.
	Sent Table = "sent"
	// Author has who wrote to users.
	Author Table = "author"
	// Reputation has how mail of a domain or a network was judged.
	Reputation Table = "reputation"
	// TLSPolicy has the MTA-STS policies of other domains.
	TLSPolicy Table = "tls_policy"
	// Sieve has what users' scripts remember: whom vacation answered, what was
	// redirected, what duplicate saw.
	Sieve Table = "sieve"
)

// Tables lists all tables.
var Tables = []Table{Delivery, Ban, Login, Limit, Seen, Sent, Author, Reputation, TLSPolicy, Sieve}

// Outbox has what internal/state/shared has yet to bring to other hosts. It is a
// table of SQLite alone, and no other store has to know it.
const Outbox Table = "outbox"

// Bounds of one entry or counter. A Put or Take beyond them is ErrInvalid.
const (
	MaxKeyBytes   = 1024
	MaxValueBytes = 1 << 20
	MaxCount      = 1 << 40
	MaxWindow     = 366 * 24 * time.Hour
)

var (
	// ErrNotFound means that there is no such entry, or that its time is over.
	ErrNotFound = errors.New("no such entry")
	// ErrInvalid means that the arguments break a bound: a fault of the caller.
	ErrInvalid = errors.New("not valid")
	// ErrAway means that the hosts' common store does not answer for now, and
	// that this host alone does not know. It was told to the log when it began:
	// who gets it need not.
	ErrAway = errors.New("the shared state is away")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("store is closed")
)

// Entry is one row of a table.
type Entry struct {
	Key     string
	Value   []byte
	Expires time.Time
}

// Usage is what a counter answers.
type Usage struct {
	// OK says that n was added, or for n = 0 that the counter is not over max.
	OK bool
	// Used is the count in the window, with n when it was added.
	Used int64
	// Ends is when n would fit again if not OK, else when the window is empty
	// if nothing more is added. An n above max never fits: then it is when the
	// window is empty.
	Ends time.Time
	// At is when it was asked or added, for Give.
	At time.Time
}

// Claim is one of the counts that TakeAll makes.
type Claim struct {
	Key    string
	N, Max int64
	Window time.Duration
	// Soft says that the other claims are counted even if this does not fit.
	Soft bool
}

// Counter is a counter as a list shows it.
type Counter struct {
	Key    string        `json:"key"`
	Used   int64         `json:"used"`
	Max    int64         `json:"max"`
	Window time.Duration `json:"window_ns"`
	// Ends is when the window is empty if nothing more is added.
	Ends time.Time `json:"ends"`
}

// Store keeps entries with a life time, and counters. It is safe for concurrent
// use. Errors other than ErrNotFound and ErrInvalid are transient.
type Store interface {
	// Get returns the entry; the caller may keep and change it.
	Get(ctx context.Context, t Table, key string) (Entry, error)
	// Put adds or replaces e, which must expire. With sync it is durable before
	// Put returns; else it may be lost by a crash within a second. When a sync
	// Put fails, e holds in memory and is written as soon as that can be done.
	Put(ctx context.Context, t Table, e Entry, sync bool) error
	// Delete removes an entry; one that is not there is no error.
	Delete(ctx context.Context, t Table, key string) error
	// List returns the entries whose key has the prefix, by key.
	List(ctx context.Context, t Table, prefix string) ([]Entry, error)

	// Take adds n to the counter key, unless more than max would then lie in
	// the last window: no window of that length ever holds more than max. It is
	// conservative by at most a sixtieth of the window. n = 0 only asks. A
	// counter has one window: who counts by two uses two keys.
	Take(ctx context.Context, key string, n, max int64, window time.Duration) (Usage, error)
	// TakeAll is Take for several counters in one step; their keys differ. It
	// counts nothing if ask is set, or if a claim does not fit that is not Soft.
	// A Soft claim that does not fit is not counted. There is one Usage for each
	// claim, in order; Used is without what was not counted.
	TakeAll(ctx context.Context, claims []Claim, ask bool) ([]Usage, error)
	// Give takes back n of what was added to the counter key at a time (Usage.At),
	// or what is left of it: the mail was refused after all.
	Give(ctx context.Context, key string, n int64, at time.Time) error
	// Reset forgets a counter; one that is not there is no error.
	Reset(ctx context.Context, key string) error
	// Counters lists the counters whose key has the prefix, by key.
	Counters(ctx context.Context, prefix string) ([]Counter, error)

	// Close writes what is pending.
	Close() error
}
