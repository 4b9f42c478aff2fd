package shared

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// TestMergeOfAnother: what another process of this host counted alone is in both
// stores once, whether the common one is there, away, or away with the answer lost.
func TestMergeOfAnother(t *testing.T) {
	for name, fault := range map[string]func(*fake){
		"there": func(*fake) {}, "down": func(f *fake) { f.down = true },
		"hole": func(f *fake) { f.hole = true }, "deaf": func(f *fake) { f.deaf = true },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, dir)
				counts := []state.Merged{{Key: "k", Max: 10, Window: time.Hour, Grants: []state.Grant{{Ago: time.Second, N: 2}, {Ago: time.Minute, N: 3}}}}
				l.far.set(fault)
				for range 2 {
					if err := l.Merge(t.Context(), "id", counts); err != nil {
						t.Fatal(err)
					}
				}
				if u, err := l.local.Take(t.Context(), "k", 0, 10, time.Hour); err != nil || u.Used != 5 {
					t.Errorf("the local store has %+v, %v; want 5", u, err)
				}
				l.far.set(func(f *fake) { f.down, f.hole, f.deaf = false, false, false })
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := l.far.used(t, "k"); got != 5 {
					t.Errorf("the common store has %d, want 5", got)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				_ = l.far.SQLite.Close()
			})
		})
	}
}

// TestMergeIsBounded: what waits for the common store is waited for once, and what
// finds no room is refused, so that nobody takes it for merged.
func TestMergeIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.far.set(func(f *fake) { f.down = true })
		merge := func(id int) error {
			counts := make([]state.Merged, state.MaxMerged)
			for i := range counts {
				counts[i] = state.Merged{Key: fmt.Sprint(id, " ", i), Max: 9, Window: time.Hour, Grants: []state.Grant{{N: 1}}}
			}
			return l.Merge(t.Context(), fmt.Sprint(id), counts)
		}
		const fit = maxWaiting / state.MaxMerged
		for id := range 2 * fit {
			if err := merge(id % fit); err != nil {
				t.Fatal(err)
			}
		}
		if err := merge(fit); !errors.Is(err, errWaiting) || l.queue.len() != fit {
			t.Errorf("Merge() = %v with %d waiting, want %d", err, l.queue.len(), fit)
		}
		l.far.set(func(f *fake) { f.down = false })
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := merge(fit); err != nil {
			t.Error(err)
		}
		for _, key := range []string{"0 0", fmt.Sprint(fit, " 99")} {
			if got := l.far.used(t, key); got != 1 {
				t.Errorf("%s has %d, want 1", key, got)
			}
		}
	})
}
