package shared

import (
	"sync"
	"sync/atomic"
)

// maxIdle is how many goroutines wait for a call; what is more ends.
const maxIdle = 64

// workers are the goroutines that make calls. One that has ended a call waits
// for the next, because its stack has grown to what Redis's client needs: to grow
// one anew for each call takes a tenth of what this process does for it.
type workers struct {
	work chan func()
	idle atomic.Int32
	over chan struct{} // closed at the end
	all  sync.WaitGroup
}

func newWorkers() workers { return workers{work: make(chan func()), over: make(chan struct{})} }

// do calls f in a goroutine, and does not wait.
func (w *workers) do(f func()) {
	select {
	case w.work <- f:
	default:
		w.all.Go(func() { w.run(f) })
	}
}

func (w *workers) run(f func()) {
	for {
		f()
		if w.idle.Add(1) > maxIdle {
			w.idle.Add(-1)
			return
		}
		select {
		case f = <-w.work:
			w.idle.Add(-1)
		case <-w.over:
			return
		}
	}
}

// end waits until all have ended; do is not called any more.
func (w *workers) end() {
	close(w.over)
	w.all.Wait()
}
