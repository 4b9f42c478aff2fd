package deadline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a timer that stays fails the bubble
		c := New(t.Context(), time.Now().Add(time.Second))
		time.Sleep(time.Second - time.Nanosecond)
		if err := errors.Join(Passed(c), c.Err()); err != nil {
			t.Errorf("before its end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := Passed(c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Passed() = %v", err)
		}
		if err := c.Err(); err != nil {
			t.Errorf("Err() = %v, though nobody waits", err)
		}
		c.Stop()
	})
}

func TestSomebodyWaits(t *testing.T) {
	for _, tc := range []struct {
		name          string
		parent, child time.Duration
		cancel        bool
		want          time.Duration
		err           error
	}{
		{"its own end", time.Hour, time.Second, false, time.Second, context.DeadlineExceeded},
		{"the parent's end", time.Second, time.Hour, false, time.Second, context.DeadlineExceeded},
		{"the parent is cancelled", time.Hour, time.Hour, true, 0, context.Canceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithTimeout(t.Context(), tc.parent)
				defer cancel()
				c := New(parent, time.Now().Add(tc.child))
				defer c.Stop()
				if at, ok := c.Deadline(); !ok || time.Until(at) != min(tc.parent, tc.child) {
					t.Errorf("Deadline() = %v, %v", at, ok)
				}
				began := time.Now()
				if tc.cancel {
					cancel()
				}
				<-c.Done()
				if took := time.Since(began); took != tc.want || !errors.Is(c.Err(), tc.err) || !errors.Is(Passed(c), tc.err) {
					t.Errorf("ended after %v with %v and %v, want %v and %v", took, c.Err(), Passed(c), tc.want, tc.err)
				}
			})
		})
	}
}

func TestStopEndsWhoWaits(t *testing.T) {
	c := New(t.Context(), time.Now().Add(time.Hour))
	done := c.Done()
	c.Stop()
	<-done
	if !errors.Is(c.Err(), context.Canceled) {
		t.Errorf("Err() = %v", c.Err())
	}
}
