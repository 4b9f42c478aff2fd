package maildir

import "sync"

// commits syncs directories for deliveries that finish together: who comes
// while a sync of the same directory runs shares the next one with all others
// that came meanwhile. A sync that began before an entry was made says nothing
// about it, so that nobody shares the one that runs. The zero commits is ready.
type commits struct {
	mu   sync.Mutex // guards dirs, and users and next in each
	dirs map[identity]*commit
}

// commit is one directory that somebody syncs or waits for.
type commit struct {
	users int
	next  *batch
	// running has room for the one who syncs.
	running chan struct{}
}

// batch is those that share one sync.
type batch struct {
	done chan struct{}
	err  error
}

// sync returns when a call of fsync that began after it has ended, and its
// error. All that call it for id hold the same directory open.
func (c *commits) sync(id identity, fsync func() error) error {
	dir, b, leads := c.join(id)
	defer c.leave(id, dir)
	if leads {
		dir.lead(&c.mu, b, fsync)
	}
	<-b.done
	return b.err
}

func (c *commits) join(id identity) (dir *commit, b *batch, leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dirs == nil {
		c.dirs = make(map[identity]*commit)
	}
	if dir = c.dirs[id]; dir == nil {
		dir = &commit{running: make(chan struct{}, 1)}
		c.dirs[id] = dir
	}
	dir.users++
	if leads = dir.next == nil; leads {
		dir.next = &batch{done: make(chan struct{})}
	}
	return dir, dir.next, leads
}

func (c *commits) leave(id identity, dir *commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if dir.users--; dir.users == 0 {
		delete(c.dirs, id)
	}
}

// lead waits for the sync that runs, closes the batch and syncs for it.
func (d *commit) lead(mu *sync.Mutex, b *batch, fsync func() error) {
	d.running <- struct{}{}
	defer func() { <-d.running }()
	mu.Lock()
	d.next = nil
	mu.Unlock()
	b.err = errPanicked // stays where fsync panics, for those that wait
	defer close(b.done)
	b.err = fsync()
}
