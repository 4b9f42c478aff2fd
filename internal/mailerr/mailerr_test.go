package mailerr

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestClassOf(t *testing.T) {
	base := errors.New("disk full")
	for _, tc := range []struct {
		name string
		err  error
		want Class
	}{
		{"nobody classed it", base, Transient},
		{"permanent", With(Permanent, base), Permanent},
		{"wrapped permanent", fmt.Errorf("deliver: %w", With(Permanent, base)), Permanent},
		{"the outermost class wins", With(Transient, fmt.Errorf("x: %w", With(Permanent, base))), Transient},
		{"cancelled", context.Canceled, Transient},
		{"deadline", context.DeadlineExceeded, Transient},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ClassOf(tc.err); got != tc.want {
				t.Errorf("ClassOf(%v) = %v, want %v", tc.err, got, tc.want)
			}
		})
	}
	if With(Permanent, nil) != nil {
		t.Error("With(Permanent, nil) is not nil")
	}
	if !errors.Is(With(Permanent, base), base) {
		t.Error("errors.Is does not see through With")
	}
}
