package guard

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// Ban closes the logins of one network until it ends.
type Ban struct {
	// ID names the ban in replies, in the journal and on the command line.
	ID      string       `json:"id"`
	Network netip.Prefix `json:"network"`
	// Reason is one sentence for the operator. It holds nothing that the
	// client typed.
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	// Manual says that a person added it.
	Manual bool `json:"manual,omitempty"`
}

// maxReasonBytes bounds the reason that a person gives.
const maxReasonBytes = 500

// entry returns b as a row of the table state.Ban.
func (b Ban) entry() (state.Entry, error) {
	v, err := json.Marshal(b)
	if err != nil {
		return state.Entry{}, fmt.Errorf("encode ban of %s: %w", netaddr.String(b.Network), err)
	}
	return state.Entry{Key: b.Network.String(), Value: v, Expires: b.Until}, nil
}

// banOf reads a row of the table state.Ban.
func banOf(e state.Entry) (Ban, error) {
	var b Ban
	if err := json.Unmarshal(e.Value, &b); err != nil {
		return Ban{}, fmt.Errorf("decode ban %q: %w", e.Key, err)
	}
	if !b.Network.IsValid() || b.Network != b.Network.Masked() || b.Network.String() != e.Key {
		return Ban{}, fmt.Errorf("decode ban %q: the row names another network", e.Key)
	}
	return b, nil
}

// bans is the set of bans in memory. It is not safe for concurrent use.
type bans struct {
	byNetwork map[netip.Prefix]Ban
	// lengths counts the bans of each prefix length, for IPv4 and IPv6.
	lengths [2][129]int
}

func newBans() *bans { return &bans{byNetwork: make(map[netip.Prefix]Ban)} }

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// find returns the ban that holds for a at now. The one that ends last wins.
func (s *bans) find(a netip.Addr, now time.Time) (best Ban, ok bool) {
	if len(s.byNetwork) == 0 {
		return Ban{}, false
	}
	lengths := &s.lengths[family(a)]
	for bits := range a.BitLen() + 1 {
		if lengths[bits] == 0 {
			continue
		}
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		b, found := s.byNetwork[p]
		if found && now.Before(b.Until) && b.Until.After(best.Until) {
			best, ok = b, true
		}
	}
	return best, ok
}

// put adds or replaces b. When there are too many, those that are over go, then
// the one that ends first; put returns what it dropped before its time.
func (s *bans) put(b Ban, now time.Time, most int) (dropped []Ban) {
	s.remove(b.Network)
	if len(s.byNetwork) >= most {
		s.expire(now)
	}
	for len(s.byNetwork) >= most {
		var first Ban
		for _, old := range s.byNetwork {
			if first.ID == "" || old.Until.Before(first.Until) {
				first = old
			}
		}
		s.remove(first.Network)
		dropped = append(dropped, first)
	}
	s.byNetwork[b.Network] = b
	s.lengths[family(b.Network.Addr())][b.Network.Bits()]++
	return dropped
}

func (s *bans) remove(p netip.Prefix) bool {
	if _, ok := s.byNetwork[p]; !ok {
		return false
	}
	delete(s.byNetwork, p)
	s.lengths[family(p.Addr())][p.Bits()]--
	return true
}

// expire drops the bans that are over.
func (s *bans) expire(now time.Time) {
	for p, b := range s.byNetwork {
		if !now.Before(b.Until) {
			s.remove(p)
		}
	}
}

// list returns the bans that hold, oldest first.
func (s *bans) list(now time.Time) []Ban {
	s.expire(now)
	all := make([]Ban, 0, len(s.byNetwork))
	for _, b := range s.byNetwork {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Ban) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}
