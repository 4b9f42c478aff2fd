package rule

import "errors"

// Meter counts what a rule spends. A struct of facts embeds it by value; it
// needs no initialisation.
type Meter struct {
	// Self is for the compiled rule alone.
	Self *Meter `expr:"meter"`
	left int
}

func (m *Meter) meter() *Meter { return m }

func (m *Meter) fill() { m.Self, m.left = m, Budget }

// ErrBudget is why a rule failed that would have run too long.
var ErrBudget = errors.New("the rule costs too much for this message: look at fewer list entries, or at shorter texts")

// spend takes cost off, and fails when nothing is left.
func (m *Meter) spend(cost int) error {
	if m.left -= cost; m.left < 0 {
		return ErrBudget
	}
	return nil
}
