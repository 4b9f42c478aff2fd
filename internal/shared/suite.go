package shared

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// Suite counts the cases of one public conformance suite. The total is that of
// the suite's own files: a case that was not run has not passed.
type Suite struct {
	name       string
	cases      map[string]string // what is wrong with it; "" for passed
	exceptions map[string]string
}

// NewSuite returns a Suite. exceptions names the cases that we know not to
// pass, each with its reason.
func NewSuite(name string, exceptions map[string]string) *Suite {
	return &Suite{name: name, cases: map[string]string{}, exceptions: exceptions}
}

// Case notes the result of one case; a nil err is a pass. A name that comes
// twice is a fault of the test.
func (s *Suite) Case(t testing.TB, name string, err error) {
	t.Helper()
	if _, twice := s.cases[name]; twice {
		t.Errorf("%s: case %s came twice", s.name, name)
	}
	s.cases[name] = ""
	if err != nil {
		s.cases[name] = err.Error()
	}
}

// Report prints "conformance: NAME: PASSED/TOTAL" and a line for each
// exception with its reason, which `make conformance` collects. It fails the
// test for a case that does not pass without being an exception, and for an
// exception that passes or is no case.
func (s *Suite) Report(t testing.TB) {
	t.Helper()
	passed := 0
	for _, name := range slices.Sorted(maps.Keys(s.cases)) {
		wrong := s.cases[name]
		reason, known := s.exceptions[name]
		switch {
		case wrong == "" && known:
			t.Errorf("%s: %s passes, and is listed as an exception", s.name, name)
			passed++
		case wrong == "":
			passed++
		case !known:
			t.Errorf("%s: %s: %s", s.name, name, wrong)
		default:
			fmt.Printf("conformance: %s: exception %s: %s\n", s.name, name, reason)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.exceptions)) {
		if _, is := s.cases[name]; !is {
			t.Errorf("%s: the exception %s is no case", s.name, name)
		}
	}
	if len(s.cases) == 0 {
		t.Errorf("%s: no case was run", s.name)
	}
	fmt.Printf("conformance: %s: %d/%d\n", s.name, passed, len(s.cases))
}
