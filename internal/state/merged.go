package state

import "time"

// Merged is what was granted on a counter where the common store did not see it.
type Merged struct {
	Key string
	// Max is that of the last Take, for lists.
	Max    int64
	Window time.Duration
	// Grants come in any order.
	Grants []Grant
}

// Grant is N counted so long ago by the clock of who counted: the clocks of two
// hosts do not meet.
type Grant struct {
	Ago time.Duration
	N   int64
}
