package scan

import (
	"time"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Hit is a rule that hit.
type Hit struct {
	Rule string
	// Share of the rule's score that it counts for, from 0 to 1.
	Share float64
}

// Hits returns which built-in rules hit m, whatever they weigh and in the order
// of Rules: what weights are fitted to.
func Hits(m Message, now time.Time) []Hit {
	if m.Raw == nil {
		m.Raw = rawmsg.Scan(nil, rawmsg.Default())
	}
	f := newFacts(m, now)
	var out []Hit
	for i := range rules {
		r := &rules[i]
		if r.inbound && m.Direction != Inbound {
			continue
		}
		if o := r.match(f); o.hit {
			out = append(out, Hit{r.Name, o.times})
		}
	}
	return out
}
