package shared

import "time"

// Config says when the common store counts as away. It is no setting of the
// configuration file: Default is right for the hosts of one site.
type Config struct {
	// Wait is how long a request waits for an answer at most; the first that had
	// to turns all others to the local store.
	Wait time.Duration
	// Slow is the time from which on one answer is as bad as none. To be taken for
	// well again the store has to answer in two thirds of it.
	Slow time.Duration
	// Probe is how often the store is tried while it is away, Idle how long
	// nobody asked it before it is tried while it is not.
	Probe, Idle time.Duration
	// Bulk bounds what lists a table, Poke is when a list that is not there yet
	// has the store tried.
	Bulk, Poke time.Duration
	// MergeTime is how long counters are merged before requests go to the store
	// again; the rest is merged afterwards.
	MergeTime time.Duration
}

// Default returns the settings for the hosts of one site.
func Default() Config {
	return Config{
		Wait: 250 * time.Millisecond, Slow: 150 * time.Millisecond,
		Probe: 500 * time.Millisecond, Idle: time.Second,
		Bulk: 30 * time.Second, Poke: 30 * time.Millisecond,
		MergeTime: 2 * time.Second,
	}
}
