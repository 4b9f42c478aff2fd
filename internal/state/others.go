package state

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Change is what another host, or another process of this one, did to an entry.
type Change struct {
	Table Table
	// Entry has only its Key when Deleted.
	Entry   Entry
	Deleted bool
}

// Watcher is a Store that others write to, too. Only Watched tables are told of.
type Watcher interface {
	// Watch calls changed for each Put and Delete that somebody else made in the
	// tables, until ctx ends; those of one key come in their order. It calls
	// missed at the beginning, and whenever changes may have been missed: who
	// keeps a copy then lists anew. Calls are made one at a time. The error is
	// ctx's, or ErrInvalid for a table that is not watched.
	Watch(ctx context.Context, tables []Table, changed func(Change), missed func()) error
}

// Watched are the tables whose changes others are told of.
var Watched = []Table{Ban, Login}

// Item is one value of a stream.
type Item struct {
	// ID is in the order of the stream: of two the later one is the greater
	// string. It has no other meaning.
	ID    string
	Value []byte
}

// Streams is a Store that keeps values in the order in which all hosts added
// them. The oldest go first, by age and when there are too many.
type Streams interface {
	// Append adds value, MaxValueBytes at most, at the end of a stream, and
	// returns its ID. An error may come although it was added.
	Append(ctx context.Context, stream string, value []byte) (id string, err error)
	// Read returns up to most items that follow after, "" being the begin of what
	// is kept. When there is none it waits for one, wait at most, and then
	// returns none.
	Read(ctx context.Context, stream, after string, most int, wait time.Duration) ([]Item, error)
	// Ends returns the IDs of the first and the last item kept; "" for none.
	Ends(ctx context.Context, stream string) (first, last string, err error)
}

// LogLevel is how loud a log tells of an error that a request met: that the
// state is away was told once, when it went.
func LogLevel(err error) slog.Level {
	if errors.Is(err, ErrAway) {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}
