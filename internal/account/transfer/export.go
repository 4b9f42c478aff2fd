package transfer

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/account"
)

// Sum is what stands at the end of a file.
type Sum struct {
	// Counts are the rows of each kind; kinds without rows are not in it.
	Counts map[Kind]int `json:"counts"`
	// SHA256 is of all lines before the last, in hexadecimal.
	SHA256 string `json:"sha256"`
}

// Rows returns how many rows there are.
func (s Sum) Rows() (n int) {
	for _, c := range s.Counts {
		n += c
	}
	return n
}

// Export writes all that s knows to w. progress may be nil; it is called with
// how many steps of how many are done.
func Export(ctx context.Context, s Store, w io.Writer, progress func(done, total int)) (Sum, error) {
	f, err := newWriter(w)
	if err != nil {
		return Sum{}, err
	}
	err = walk(ctx, s, progress, func(r row) error {
		if err := f.row(r); err != nil {
			return fmt.Errorf("%s: %w", label(r), err)
		}
		return nil
	})
	if err != nil {
		return Sum{}, err
	}
	end, err := f.end()
	return Sum{Counts: end.Counts, SHA256: end.SHA256}, err
}

// walk calls f with each row of s, in the order of a file.
func walk(ctx context.Context, s Store, progress func(done, total int), f func(row) error) error {
	w := &walker{s: s, f: f, progress: progress}
	users, err := s.Users(ctx, "")
	if err != nil {
		return err
	}
	slices.SortFunc(users, func(a, b account.User) int { return compare(a.Addr, b.Addr) })
	w.total = 3 * len(users) // itself, its grants, its app passwords
	for _, part := range []func(context.Context, []account.User) error{
		w.domains, w.users, w.aliases, w.grants, w.postings, w.entries, w.apps, w.members, w.rates, w.keys,
	} {
		if err := part(ctx, users); err != nil {
			return err
		}
	}
	return nil
}

// walker goes through a store, part by part.
type walker struct {
	s           Store
	f           func(row) error
	progress    func(done, total int)
	done, total int
	groups      map[string]bool // those that have a member
}

// step notes that one more of total is done.
func (w *walker) step() {
	w.done++
	if w.progress != nil {
		w.progress(w.done, w.total)
	}
}

// rowsOf hands on what list returns, sorted by id.
func rowsOf[T any](ctx context.Context, w *walker, list func(context.Context) ([]T, error), of func(T) row) error {
	all, err := list(ctx)
	if err != nil {
		return err
	}
	rows := make([]row, len(all))
	for i, v := range all {
		rows[i] = of(v)
	}
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.id(), b.id()) })
	for _, r := range rows {
		if err := w.f(r); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) domains(ctx context.Context, _ []account.User) error {
	return rowsOf(ctx, w, w.s.Domains, func(d account.Domain) row { return domainOf(d) })
}

func (w *walker) users(_ context.Context, users []account.User) error {
	for _, u := range users {
		if err := w.f(userOf(u)); err != nil {
			return err
		}
		w.step()
	}
	return nil
}

func (w *walker) aliases(ctx context.Context, _ []account.User) error {
	return rowsOf(ctx, w, func(ctx context.Context) ([]account.Alias, error) { return w.s.Aliases(ctx, "") },
		func(a account.Alias) row { return aliasOf(a) })
}

func (w *walker) grants(ctx context.Context, users []account.User) error {
	for _, u := range users {
		all, err := w.s.Grants(ctx, u.Addr)
		if err != nil {
			return err
		}
		all = slices.SortedFunc(slices.Values(all), compare)
		for _, as := range all {
			if err := w.f(&grantRow{Kind: Grant, User: u.Addr, As: as}); err != nil {
				return err
			}
		}
		w.step()
	}
	return nil
}

func (w *walker) postings(ctx context.Context, _ []account.User) error {
	return rowsOf(ctx, w, func(ctx context.Context) ([]account.Posting, error) { return w.s.Postings(ctx, "") },
		func(p account.Posting) row { return postingOf(p) })
}

// entries stay in the order in which they were added.
func (w *walker) entries(ctx context.Context, _ []account.User) error {
	all, err := w.s.Access(ctx)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := w.f(accessOf(e)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) apps(ctx context.Context, users []account.User) error {
	for _, u := range users {
		all, err := w.s.AppPasswords(ctx, u.Addr)
		if err != nil {
			return err
		}
		all = slices.SortedFunc(slices.Values(all), func(a, b account.AppPassword) int { return strings.Compare(a.Name, b.Name) })
		for _, p := range all {
			if err := w.f(appOf(p)); err != nil {
				return err
			}
		}
		w.step()
	}
	return nil
}

func (w *walker) members(ctx context.Context, _ []account.User) error {
	groups, err := w.s.Groups(ctx)
	if err != nil {
		return err
	}
	w.groups = map[string]bool{}
	var all []*memberRow
	for _, g := range groups {
		w.groups[g.Name] = true
		for _, u := range g.Users {
			all = append(all, &memberRow{Kind: Member, Group: g.Name, User: u})
		}
	}
	return rowsOf(ctx, w, func(context.Context) ([]*memberRow, error) { return all, nil }, func(r *memberRow) row { return r })
}

// rates leaves out those of a group that nobody is in: no store takes them.
func (w *walker) rates(ctx context.Context, _ []account.User) error {
	return rowsOf(ctx, w, func(ctx context.Context) ([]account.LimitRate, error) {
		all, err := w.s.Rates(ctx)
		return slices.DeleteFunc(slices.Clone(all), func(l account.LimitRate) bool {
			return l.Subject.Group != "" && !w.groups[l.Subject.Group]
		}), err
	}, func(l account.LimitRate) row { return rateOf(l) })
}

func (w *walker) keys(ctx context.Context, _ []account.User) error {
	return rowsOf(ctx, w, w.s.OwnKeys, func(k account.OwnKey) row { return keyOf(k) })
}
