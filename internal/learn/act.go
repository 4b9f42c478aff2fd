package learn

import (
	"time"
)

// kind says what an act does.
type kind byte

// The kinds. Their numbers are on the wire.
const (
	kindLearn kind = 1
	kindUndo  kind = 2
	kindDrop  kind = 3
)

// act is one step of learning, with all that a decision needs to know of the
// host where somebody wanted it. Equal acts in equal order on equal journals
// give equal models: every host of a stream performs the same ones.
type act struct {
	kind kind
	// time is when it was wanted, to the millisecond.
	time   time.Time
	source Source
	// user is the mailbox, or who asked.
	user   string
	minute int
	// approved says that the items waited and an administrator lets them pass.
	approved bool
	// held and mailboxes are what the origin knows of accounts, daily and
	// keepDays its settings.
	held            bool
	mailboxes       int
	daily, keepDays int
	items           []actItem
}

// actItem is one message of an act. To undo, only of and the features count.
type actItem struct {
	Item
	spam bool
	// of is the learn that is undone, or the row that waited.
	of name
}

// name is what a learn is called.
type name struct {
	// id is its row in this journal, 0 when it comes from the stream.
	id int64
	// run, seq and item name it on all hosts; run is 0 for a learn of a host
	// alone, which has the rest of the fields for its name.
	run    int64
	seq    uint64
	item   int
	key    [keyBytes]byte
	user   string
	source Source
	spam   bool
	time   time.Time
}

// none reports whether n names nothing.
func (n name) none() bool { return n == name{} }

// stamp is the name of an event of the stream.
type stamp struct {
	run int64
	seq uint64
	// prev is what the same host sent before, as far as it knows.
	prevRun  int64
	prevSeq  uint64
	prevTime time.Time
}

// event is an act with its stamp, as it stands in the stream.
type event struct {
	stamp
	act
}
