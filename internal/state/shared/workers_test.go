package shared

import (
	"sync"
	"testing"
	"testing/synctest"
)

// TestWorkers: each call is made, also when more are wanted at once than wait;
// those that wait are used again, stay few, and end.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkers()
		const calls = 3 * maxIdle
		var all sync.WaitGroup
		hold, made := make(chan struct{}), make(chan struct{}, calls)
		for range calls {
			all.Add(1)
			w.do(func() {
				defer all.Done()
				<-hold
				made <- struct{}{}
			})
		}
		close(hold)
		all.Wait()
		synctest.Wait()
		if len(made) != calls || w.idle.Load() != maxIdle {
			t.Errorf("%d calls were made and %d wait, want %d and %d", len(made), w.idle.Load(), calls, maxIdle)
		}
		all.Add(1)
		w.do(all.Done)
		all.Wait()
		synctest.Wait()
		if w.idle.Load() != maxIdle {
			t.Errorf("%d wait after one more, want %d", w.idle.Load(), maxIdle)
		}
		w.end() // a goroutine that stays fails the bubble
	})
}
