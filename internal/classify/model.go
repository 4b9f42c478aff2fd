package classify

import (
	"math"
	"sync"
)

// What is tuned, once for all mail: docs/accuracy.md tells on what.
const (
	// rate is the length of a gradient step, before it is divided by √(n+1).
	rate = 8
	// margin is the z from which on a view has learned a message already.
	margin = 2
	// scale makes odds of the sum of the views.
	scale = 0.8
	// Where one class was learned far more often, everything looks like it.
	// prior is the share of the log of their ratio that is taken off.
	prior, priorUp, priorDown = 0.5, 1, 2
)

// Model is the learned filter. It is safe for concurrent use; Score runs in
// parallel with Score. It takes 24 MB once it has learned a good deal.
type Model struct {
	learning sync.Mutex   // is held by who changes what is below, and by Save
	mu       sync.RWMutex // guards all below; taken after learning
	w        [views][]float32
	// ham and spam count what was learned, mass by its strength.
	ham, spam         int
	hamMass, spamMass float64
}

// New returns a Model that has learned nothing.
func New() *Model {
	m := &Model{}
	for v := range m.w {
		m.w[v] = make([]float32, tableSize)
	}
	return m
}

// Score is what the filter says of a message.
type Score struct {
	// Logit is the logarithm of the odds of spam.
	Logit float64
	// Weight is how much of its full weight the filter carries, 0 to 1; it
	// grows with what was learned of both classes.
	Weight float64
	// Ham and Spam count the messages learned.
	Ham, Spam int
}

// Score judges a message. It allocates nothing.
func (m *Model) Score(f *Features) Score {
	m.mu.RLock()
	defer m.mu.RUnlock()
	sum := 0.0
	for v := range f.sets {
		sum += m.view(v, f.sets[v])
	}
	return Score{Logit: scale*sum + m.prior(), Weight: m.weight(), Ham: m.ham, Spam: m.spam}
}

// view returns z of one view.
func (m *Model) view(v int, set []uint32) float64 {
	w := m.w[v]
	// Four sums, because each addition waits for the one before it.
	var a, b, c, d float64
	i := 0
	for ; i+4 <= len(set); i += 4 {
		a += float64(w[set[i]])
		b += float64(w[set[i+1]])
		c += float64(w[set[i+2]])
		d += float64(w[set[i+3]])
	}
	for ; i < len(set); i++ {
		a += float64(w[set[i]])
	}
	return (a + b + c + d) / norm(set)
}

func norm(set []uint32) float64 { return math.Sqrt(float64(len(set) + 1)) }

// prior takes back what a lopsided diet does to every score.
func (m *Model) prior() float64 {
	p := -prior * math.Log((m.spamMass+5)/(m.hamMass+5))
	return max(-priorDown, min(p, priorUp))
}

// weight is 0 up to five messages, 0.45 with three of each class, 0.9 with nine.
// Somebody who reports only what went wrong teaches one class at first: it
// counts by itself too, for less, or nothing would ever begin.
func (m *Model) weight() float64 {
	n := min(m.hamMass, m.spamMass) + (m.hamMass+m.spamMass)/3 - 2
	return max(0, 1-math.Exp(-n/5))
}

// Step is what Undo needs to take back one learn.
type Step struct {
	spam  bool
	share float32
	moves [views]float32
}

// Learn takes in a message as spam or as ham, with a share of the usual
// strength, 0 to 1. Equal learns in equal order give equal models.
func (m *Model) Learn(f *Features, spam bool, share float64) Step {
	if !(share > 0) { // a NaN too
		share = 0
	}
	s := Step{spam: spam, share: float32(min(share, 1))}
	m.learning.Lock()
	defer m.learning.Unlock()
	y := -1.0
	if spam {
		y = 1
	}
	for v, set := range f.sets {
		z := y * m.view(v, set)
		if z > margin {
			continue
		}
		s.moves[v] = float32(rate * float64(s.share) * y / (1 + math.Exp(z)) / norm(set))
	}
	m.move(f, s, 1)
	return s
}

// Undo takes back the learn of f that gave s, whatever was learned since.
func (m *Model) Undo(f *Features, s Step) {
	m.learning.Lock()
	defer m.learning.Unlock()
	m.move(f, s, -1)
}

// move makes a step or, with a sign of -1, takes it back.
func (m *Model) move(f *Features, s Step, sign int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for v, set := range f.sets {
		d := float32(sign) * s.moves[v]
		if d == 0 {
			continue
		}
		w := m.w[v]
		for _, i := range set {
			w[i] += d
		}
	}
	count, mass := &m.ham, &m.hamMass
	if s.spam {
		count, mass = &m.spam, &m.spamMass
	}
	*count = max(0, *count+sign)
	*mass = max(0, *mass+float64(sign)*float64(s.share))
}

// Counts returns how many messages were learned.
func (m *Model) Counts() (ham, spam int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.ham, m.spam
}
