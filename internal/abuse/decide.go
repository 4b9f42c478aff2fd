package abuse

import (
	"fmt"
	"time"
)

// Counts are what an account did within an hour.
type Counts struct {
	Messages   uint32 `json:"messages"`
	Recipients uint32 `json:"recipients"`
	Distinct   uint32 `json:"distinct_recipients"`
	// Refused are recipients that we refused, or of whom our Postfix says that
	// they failed; Outside those of whom a stranger's server says so.
	Refused uint32 `json:"refused"`
	Outside uint32 `json:"bounced_outside"`
	// Mismatched are messages whose header From is not the envelope sender.
	Mismatched  uint32 `json:"from_mismatch"`
	NullSenders uint32 `json:"null_sender"`
	Networks    uint32 `json:"networks"`
	Countries   uint32 `json:"countries"`
	// Marked are messages that the filter marks, or refuses.
	Marked uint32 `json:"marked"`
	// Hasty are messages seconds after a login from a new network.
	Hasty uint32 `json:"hasty"`
}

// Policy is what Decide goes by.
type Policy struct {
	Warn, Hold float64
	// Free is the recipients an hour that are never odd.
	Free uint32
	// Settled says that habits were learned for long enough.
	Settled bool
	// Watched says of which signals the source is there.
	Watched func(Name) bool
}

// Name names a signal.
type Name string

// The signals.
const (
	SignalRecipients  Name = "recipients"
	SignalDistinct    Name = "distinct_recipients"
	SignalRefused     Name = "refused_recipients"
	SignalMismatched  Name = "from_mismatch"
	SignalNullSenders Name = "null_sender"
	SignalNetworks    Name = "client_networks"
	SignalCountries   Name = "countries"
	SignalMarked      Name = "scan_score"
	SignalHasty       Name = "new_login"
)

// Action is what a verdict asks for.
type Action string

// The actions, from the mildest.
const (
	Nothing Action = "nothing"
	Warn    Action = "warn"
	Hold    Action = "hold"
)

// Signal is one signal as it stands.
type Signal struct {
	Name Name `json:"name"`
	// Now is what was counted within the hour, Usual the most in any hour of
	// the habit, Allowed up to where it is not odd.
	Now     uint32  `json:"now"`
	Usual   uint32  `json:"usual"`
	Allowed uint32  `json:"allowed"`
	Points  float64 `json:"points"`
	// Text says it in one sentence.
	Text string `json:"text"`
	// Watched is false where its source is missing.
	Watched bool `json:"watched"`
}

// Verdict is what Decide says.
type Verdict struct {
	Action Action  `json:"action"`
	Points float64 `json:"points"`
	// Signals are all of them, in the order of the table.
	Signals []Signal `json:"signals"`
}

// Evidence returns a sentence for each signal that gave points.
func (v Verdict) Evidence() []string {
	var out []string
	for _, s := range v.Signals {
		if s.Points > 0 {
			out = append(out, s.Text)
		}
	}
	return out
}

// family groups signals that tell of the same thing.
type family int

const (
	volume family = iota
	refusal
	sender
	place
	content
	families
)

const (
	// familyCap is what a family gives at most.
	familyCap = 6
	// outsideCap is what notifications from outside give at most: anybody who
	// got a message of the account can write some.
	outsideCap = 3
	// refusedShare of the recipients have to be refused before it is odd: one in
	// so many. A large list has a few dead addresses.
	refusedShare = 10
)

// signal is a row of the table.
type signal struct {
	name   Name
	family family
	// floor is never odd; 0 is Policy.Free. factor times the habit is not either.
	floor, factor uint32
	// points are for more than 1, 2 and 4 times what is allowed.
	points [3]float64
	of     func(c *Counts) uint32
	text   string
}

// signals is the table. The factors leave room for an hour that slides over two
// hours of the clock, and for growth.
var signals = [...]signal{
	{SignalRecipients, volume, 0, 3, [3]float64{3, 4, 6}, func(c *Counts) uint32 { return c.Recipients }, "recipients within an hour"},
	{SignalDistinct, volume, 0, 3, [3]float64{2, 3, 4}, func(c *Counts) uint32 { return c.Distinct }, "different recipients within an hour"},
	{SignalRefused, refusal, 8, 3, [3]float64{4, 5, 6}, func(c *Counts) uint32 { return c.Refused }, "recipients refused or bounced within an hour"},
	{SignalMismatched, sender, 5, 3, [3]float64{2, 3, 4}, func(c *Counts) uint32 { return c.Mismatched }, "messages with another header From than envelope sender"},
	{SignalNullSenders, sender, 3, 3, [3]float64{2, 3, 4}, func(c *Counts) uint32 { return c.NullSenders }, "messages with the null sender"},
	{SignalNetworks, place, 4, 2, [3]float64{3, 5, 6}, func(c *Counts) uint32 { return c.Networks }, "client networks within an hour"},
	{SignalCountries, place, 2, 2, [3]float64{4, 6, 6}, func(c *Counts) uint32 { return c.Countries }, "countries within an hour"},
	{SignalHasty, place, 0, 0, [3]float64{3, 3, 3}, func(c *Counts) uint32 { return c.Hasty }, "messages right after a login from a network that is new"},
	{SignalMarked, content, 2, 3, [3]float64{4, 5, 6}, func(c *Counts) uint32 { return c.Marked }, "messages that the spam filter marks"},
}

// Decide holds what an account did within the last hour against its habit at
// now. Equal arguments give equal verdicts.
func Decide(p Policy, h Habit, c Counts, now time.Time) Verdict {
	return decide(p, h.Usual(now), c)
}

func decide(p Policy, usual, c Counts) Verdict {
	v := Verdict{Action: Nothing, Signals: make([]Signal, 0, len(signals))}
	var sums [families]float64
	for i := range signals {
		s := signals[i].judge(p, &usual, &c)
		sums[signals[i].family] += s.Points
		v.Signals = append(v.Signals, s)
	}
	for _, sum := range sums {
		v.Points += min(sum, familyCap)
	}
	switch {
	case v.Points >= p.Hold && p.Settled:
		v.Action = Hold
	case v.Points >= p.Warn:
		v.Action = Warn
	}
	return v
}

// judge says how odd one signal is.
func (s *signal) judge(p Policy, usual, c *Counts) Signal {
	out := Signal{Name: s.name, Now: s.of(c), Usual: s.of(usual), Watched: p.Watched == nil || p.Watched(s.name)}
	floor := s.floor
	switch {
	case s.name == SignalHasty:
	case floor == 0:
		floor = p.Free
	}
	out.Allowed = max(floor, times(out.Usual, s.factor))
	if s.name == SignalRefused {
		out.Points = refusedPoints(s, &out, c)
	} else {
		out.Points = s.stage(out.Now, out.Allowed)
	}
	if !out.Watched {
		out.Points, out.Text = 0, "not watched"
		return out
	}
	out.Text = fmt.Sprintf("%d %s; the most in an hour before was %d", out.Now, s.text, out.Usual)
	if s.name == SignalHasty {
		out.Text = fmt.Sprintf("%d %s", out.Now, s.text)
	}
	return out
}

// refusedPoints counts what a stranger says for little.
func refusedPoints(s *signal, out *Signal, c *Counts) float64 {
	own, all := c.Refused, c.Refused+c.Outside
	out.Now = all
	tried := c.Recipients + c.Refused
	enough := func(n uint32) bool { return uint64(n)*refusedShare >= uint64(tried) }
	var points float64
	if enough(own) {
		points = s.stage(own, out.Allowed)
	}
	if enough(all) {
		points += min(outsideCap, max(0, s.stage(all, out.Allowed)-points))
	}
	return points
}

// stage returns the points for n where so many are allowed.
func (s *signal) stage(n, allowed uint32) float64 {
	switch {
	case n <= allowed:
		return 0
	case n <= times(allowed, 2):
		return s.points[0]
	case n <= times(allowed, 4):
		return s.points[1]
	}
	return s.points[2]
}

// times multiplies without overflow.
func times(n, by uint32) uint32 { return uint32(min(uint64(n)*uint64(by), 1<<31)) }
