package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// maxLoopSteps bounds the addresses that are looked at for one new alias; a
// loop behind more of them is Postfix's to stop.
const maxLoopSteps = 2 * MaxTargets

// walked is what is known of an address on the way.
type walked int

const (
	unseen walked = iota
	onPath
	done
)

// LoopRows are the rows of a store that FindLoop walks through, as they are in the
// transaction that adds an alias.
type LoopRows interface {
	// Targets returns the targets of the alias of exactly that name, none if there
	// is no such alias.
	Targets(ctx context.Context, addr mailaddr.Address) ([]mailaddr.Address, error)
	// HasUser reports whether exactly that user is there.
	HasUser(ctx context.Context, addr mailaddr.Address) (bool, error)
}

// FindLoop is ErrLoop if mail for an alias, whose address is folded, would come
// back to it.
func FindLoop(ctx context.Context, rows LoopRows, addr mailaddr.Address) error {
	w := loopWalk{rows: rows, state: map[mailaddr.Address]walked{}}
	return w.follow(ctx, addr)
}

// loopWalk follows the aliases from a new one, as Postfix does, and looks for
// the way back. Postfix expands an address that leads to itself only once, so
// no loop goes through such a one; without a mailbox it is a loop of its own.
type loopWalk struct {
	rows  LoopRows
	state map[mailaddr.Address]walked
	path  []mailaddr.Address
}

// follow is ErrLoop if the way from addr, which is folded, comes back.
func (w *loopWalk) follow(ctx context.Context, addr mailaddr.Address) error {
	switch {
	case w.state[addr] == onPath:
		return loopError(append(w.path[slices.Index(w.path, addr):], addr))
	case w.state[addr] == done, len(w.state) >= maxLoopSteps:
		return nil
	}
	w.state[addr] = onPath
	w.path = append(w.path, addr)
	next, mailbox, err := w.next(ctx, addr)
	if err != nil {
		return err
	}
	switch {
	case !slices.Contains(next, addr):
		for _, to := range next {
			if err := w.follow(ctx, to); err != nil {
				return err
			}
		}
	case !mailbox:
		return loopError([]mailaddr.Address{addr, addr})
	}
	w.state[addr] = done
	w.path = w.path[:len(w.path)-1]
	return nil
}

// next returns where the mail of addr goes, and whether a mailbox may take it.
func (w *loopWalk) next(ctx context.Context, addr mailaddr.Address) (to []mailaddr.Address, mailbox bool, err error) {
	if to, err = w.targets(ctx, addr); err != nil {
		return nil, false, err
	}
	if mailbox, err = w.mailbox(ctx, addr); err != nil || len(to) > 0 || mailbox {
		return to, mailbox, err
	}
	to, err = w.targets(ctx, mailaddr.Address{Domain: addr.Domain})
	return Alias{To: to}.For(addr), false, err
}

// targets returns the targets of the alias of exactly that name, folded.
func (w *loopWalk) targets(ctx context.Context, addr mailaddr.Address) ([]mailaddr.Address, error) {
	to, err := w.rows.Targets(ctx, addr)
	folded := make([]mailaddr.Address, len(to))
	for i, t := range to {
		folded[i] = Fold(t)
	}
	return folded, err
}

// mailbox reports whether addr is a mailbox, or an address with a detail of a
// row that is there: the store does not know recipient_delimiter, so it takes
// any character for it that is no letter or digit.
func (w *loopWalk) mailbox(ctx context.Context, addr mailaddr.Address) (bool, error) {
	if yes, err := w.rows.HasUser(ctx, addr); yes || err != nil {
		return yes, err
	}
	for i, r := range addr.LocalPart {
		if i == 0 || unicode.IsLetter(r) || unicode.IsDigit(r) {
			continue
		}
		base := mailaddr.Address{LocalPart: addr.LocalPart[:i], Domain: addr.Domain}
		if yes, err := w.rows.HasUser(ctx, base); yes || err != nil {
			return yes, err
		}
		if to, err := w.rows.Targets(ctx, base); len(to) > 0 || err != nil {
			return true, err
		}
	}
	return false, nil
}

// maxShownLoop bounds the addresses of a loop that an error names.
const maxShownLoop = 6

func loopError(path []mailaddr.Address) error {
	var names []string
	for _, a := range path {
		names = append(names, AliasName(a))
	}
	if len(names) > maxShownLoop {
		names = append(append(names[:maxShownLoop-2:maxShownLoop-2], "..."), names[len(names)-1])
	}
	return fmt.Errorf("%w: %s", ErrLoop, strings.Join(names, " > "))
}
