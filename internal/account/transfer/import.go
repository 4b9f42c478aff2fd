package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gatepost/gatepost/internal/account"
)

// Options say how Import works.
type Options struct {
	// DryRun writes nothing, and tells what would be written.
	DryRun bool
	// Replace puts the file's row in place of one that differs; without it that
	// one stays, and is told.
	Replace bool
	// Progress may be nil; it is called with how many rows of how many are done.
	Progress func(done, total int)
}

// maxTroubles bounds the rows that a Report tells of, one by one.
const maxTroubles = 1000

// Report is what an import did.
type Report struct {
	Sum
	// Added, Same, Replaced and Refused count rows of the file; what a dry run
	// would do counts as done.
	Added    int `json:"added"`
	Same     int `json:"same"`
	Replaced int `json:"replaced"`
	Refused  int `json:"refused"`
	// Troubles are the rows that were refused, 1000 at most.
	Troubles []Trouble `json:"troubles,omitempty"`
	// Verified says that the store was read again, and has all rows of the file.
	Verified bool `json:"verified"`
	// More counts the rows that the store has besides those of the file.
	More int `json:"more"`
}

// Trouble is a row that the store did not take.
type Trouble struct {
	// Line is its line in the file.
	Line int `json:"line"`
	// Row names it, as "user alice@example.org".
	Row string `json:"row"`
	// Why is without secrets.
	Why string `json:"why"`
}

// Import puts the rows of a file into s. A damaged file is ErrFormat with the
// number of the line, and nothing was written then. Rows that s does not take
// are in the Report. Every other error means that s is away, or ctx over: what
// was done stays, and the same call goes on behind it.
func Import(ctx context.Context, s Store, in io.ReadSeeker, o Options) (Report, error) {
	rep, err := check(in)
	if err != nil {
		return rep, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return rep, err
	}
	i := &importer{desk: &desk{Store: s}, o: o, rep: &rep, rows: map[[sha256.Size]byte]bool{}}
	if err := i.all(ctx, newReader(in)); err != nil || o.DryRun {
		return rep, err
	}
	return rep, i.verify(ctx)
}

// check reads a file to its end.
func check(in io.Reader) (Report, error) {
	f := newReader(in)
	for {
		_, err := f.next()
		if errors.Is(err, io.EOF) {
			return Report{Sum: Sum{Counts: f.end.Counts, SHA256: f.end.SHA256}}, nil
		}
		if err != nil {
			return Report{}, err
		}
	}
}

type importer struct {
	desk *desk
	o    Options
	rep  *Report
	rows map[[sha256.Size]byte]bool // sums of the rows of the file, true once verified
}

func (i *importer) all(ctx context.Context, f *reader) error {
	total := i.rep.Rows()
	for done := 1; ; done++ {
		r, err := f.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, err := appendLine(nil, r.core())
		if err != nil {
			return err
		}
		i.rows[sha256.Sum256(line)] = false
		if err := i.one(ctx, r, line); err != nil {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("line %d: %w", f.number, err)
			}
			if !refused(err) {
				return fmt.Errorf("line %d: %w", f.number, err)
			}
			i.refuse(f.number, r, err)
		}
		if i.o.Progress != nil {
			i.o.Progress(done, total)
		}
	}
}

// errDiffers is what is told of a row that is there, and another one.
type errDiffers struct{ in []string }

func (e errDiffers) Error() string {
	return fmt.Sprintf("is there, and differs in %s", e.in)
}

// refused reports whether err is about the row, and not about the store.
func refused(err error) bool {
	return errors.As(err, new(errDiffers)) || slices.ContainsFunc([]error{
		account.ErrNotFound, account.ErrExists, account.ErrNoDomain, account.ErrInvalid, account.ErrLoop,
		account.ErrChanged, account.ErrReadOnly,
	}, func(target error) bool { return errors.Is(err, target) })
}

func (i *importer) refuse(line int, r row, err error) {
	i.rep.Refused++
	if len(i.rep.Troubles) < maxTroubles {
		i.rep.Troubles = append(i.rep.Troubles, Trouble{Line: line, Row: label(r), Why: err.Error()})
	}
}

// one puts one row, whose core is line, into the store.
func (i *importer) one(ctx context.Context, r row, line []byte) error {
	old, err := r.find(ctx, i.desk)
	if errors.Is(err, account.ErrNotFound) {
		return i.count(&i.rep.Added, func() error { return r.add(ctx, i.desk) })
	}
	if err != nil {
		return err
	}
	was, err := appendLine(nil, old.core())
	if err != nil {
		return err
	}
	in := differences(was, line)
	switch {
	case len(in) == 0:
		i.rep.Same++
		return nil
	case !i.o.Replace:
		return errDiffers{in}
	}
	return i.count(&i.rep.Replaced, func() error { return r.replace(ctx, i.desk, old) })
}

// count does what is to be done, unless in a dry run, and counts it.
func (i *importer) count(n *int, do func() error) error {
	if !i.o.DryRun {
		if err := do(); err != nil {
			return err
		}
	}
	*n++
	return nil
}

// differences names the fields in which two lines of one kind differ, sorted.
func differences(a, b []byte) (in []string) {
	var was, is map[string]json.RawMessage
	if json.Unmarshal(a, &was) != nil || json.Unmarshal(b, &is) != nil {
		return []string{"everything"} // not lines that appendLine has written
	}
	for name, v := range is {
		if string(was[name]) != string(v) {
			in = append(in, name)
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			in = append(in, name)
		}
	}
	slices.Sort(in)
	return in
}

// verify reads the store again, and holds it against the file.
func (i *importer) verify(ctx context.Context) error {
	found := 0
	err := walk(ctx, i.desk.Store, nil, func(r row) error {
		line, err := appendLine(nil, r.core())
		if err != nil {
			return fmt.Errorf("%s: %w", label(r), err)
		}
		seen, ours := i.rows[sha256.Sum256(line)]
		switch {
		case !ours:
			i.rep.More++
		case !seen:
			i.rows[sha256.Sum256(line)] = true
			found++
		}
		return nil
	})
	i.rep.Verified = err == nil && found == i.rep.Rows()
	if err != nil {
		return fmt.Errorf("read the store again: %w", err)
	}
	return nil
}

// label names a row for people.
func label(r row) string {
	name := ""
	switch r := r.(type) {
	case *domainRow:
		name = r.Name
	case *userRow:
		name = r.Addr.String()
	case *aliasRow:
		name = r.Addr.String()
	case *grantRow:
		name = r.As.String() + " to " + r.User.String()
	case *postingRow:
		name = r.Addr.String()
	case *accessRow:
		name = r.Name
	case *appRow:
		name = fmt.Sprintf("%q of %s", r.Name, r.User)
	case *memberRow:
		name = r.User.String() + " of " + r.Group
	case *rateRow:
		name = r.Limit + " of " + account.Subject{User: r.User, Group: r.Group, Domain: r.Domain}.String()
	case *keyRow:
		name = r.Name
	}
	return string(r.kind()) + " " + name
}
