package journal

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Story is what is known of one message, from connection to mailbox.
type Story struct {
	QueueID   string `json:"queue_id,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	Steps     []Step `json:"steps"`
	// Left are recipients for whom Postfix got the message, and of whom no
	// delivery of ours tells: what became of it is in Postfix's log.
	Left []string `json:"left_our_sight,omitempty"`
	// Others are older messages that had the same id, the newest first.
	Others []Other `json:"others,omitempty"`
}

// Step is a record in a story.
type Step struct {
	Record
	// Certain is false where no id joins the record with the message.
	Certain bool `json:"certain"`
}

// Other is another message with the same queue id or Message-ID.
type Other struct {
	QueueID string    `json:"queue_id"`
	Time    time.Time `json:"time"`
}

// The times within which records belong together.
const (
	// maxReuse is within how long one queue id means one arrival: short queue
	// ids come back.
	maxReuse = time.Hour
	// maxInQueue is how long after it arrived a message may be delivered
	// (Postfix's maximal_queue_lifetime).
	maxInQueue = 5 * 24 * time.Hour
	// maxSession is how long before its end a transaction may have begun, and
	// maxPause how long its client may keep silent.
	maxSession = time.Hour
	maxPause   = 10 * time.Minute
	// maxLogin is how long before its session's first record a login was.
	maxLogin = time.Minute
	// maxOthers bounds Story.Others.
	maxOthers = 20
)

// arrives reports whether r is of a message's way in, not of its delivery.
func (r *Record) arrives() bool { return r.Daemon == "milter" || r.Daemon == "policyd" }

// newest splits records, which are by time, into messages, and begins the story
// of the newest one, of which it returns the records.
func newest(records []Record) (Story, []Record) {
	var groups [][]Record
	for _, r := range records {
		i := len(groups) - 1 // the newest that fits
		for i >= 0 && !belongs(groups[i], r) {
			i--
		}
		if i < 0 {
			groups = append(groups, nil)
			i = len(groups) - 1
		}
		groups[i] = append(groups[i], r)
	}
	if len(groups) == 0 {
		return Story{}, nil
	}
	slices.SortStableFunc(groups, func(a, b []Record) int { return b[0].Time.Compare(a[0].Time) })
	own := groups[0]
	s := Story{QueueID: own[0].QueueID}
	for _, r := range own {
		if r.MessageID != "" {
			s.MessageID = r.MessageID
		}
	}
	for _, g := range groups[1:min(len(groups), maxOthers+1)] {
		s.Others = append(s.Others, Other{g[0].QueueID, g[0].Time})
	}
	return s, own
}

// belongs reports whether r, which is later than g, is of the same message.
func belongs(g []Record, r Record) bool {
	if g[0].QueueID != r.QueueID {
		return false
	}
	last, within := g[0].Time, maxReuse
	for _, m := range g {
		if !m.arrives() {
			continue
		}
		last = m.Time
		if !r.arrives() {
			within = maxInQueue
		}
	}
	if !g[0].arrives() {
		last = g[len(g)-1].Time
	}
	return r.Time.Sub(last) <= within
}

// client returns the address from which the message came, and when it began
// and ended to arrive, as far as own knows.
func (s *Story) client(own []Record) (a netip.Addr, begin, end time.Time) {
	for _, r := range own {
		if !r.arrives() || !r.ClientAddr.IsValid() {
			continue
		}
		if !a.IsValid() {
			a, begin = r.ClientAddr, r.Time
		}
		end = r.Time
	}
	return a, begin, end
}

// assemble fills the story from the message's own records and those of the same
// client about that time, both by time.
func (s *Story) assemble(own, near []Record) {
	first := slices.IndexFunc(own, func(r Record) bool { return r.arrives() && r.ClientAddr.IsValid() })
	if first >= 0 {
		session := sessionOf(own[first], near)
		if r, ok := loginOf(userOf(own), session, own[first], near); ok {
			s.Steps = append(s.Steps, Step{Record: r})
		}
		for _, r := range transaction(own, own[first], session) {
			s.Steps = append(s.Steps, Step{r, true})
		}
	}
	for _, r := range own {
		s.Steps = append(s.Steps, Step{r, true})
	}
	slices.SortStableFunc(s.Steps, func(a, b Step) int { return a.Time.Compare(b.Time) })
	s.Left = left(own)
}

// sessionOf returns the records of the SMTP session up to anchor: same address
// and port, and no long silence.
func sessionOf(anchor Record, near []Record) []Record {
	if anchor.ClientPort == 0 {
		return nil
	}
	var session []Record
	next := anchor.Time
	for _, r := range slices.Backward(near) {
		if !r.arrives() || r.ClientPort != anchor.ClientPort || r.Time.After(anchor.Time) {
			continue
		}
		if next.Sub(r.Time) > maxPause {
			break
		}
		next = r.Time
		session = append(session, r)
	}
	slices.Reverse(session)
	return session
}

// transaction returns the records of the session that have no queue id yet and
// are of the message: after the session's previous message, with the same
// reverse-path and, where policyd's instance is known, the same instance.
func transaction(own []Record, anchor Record, session []Record) []Record {
	instance, from := "", anchor.MailFrom
	for _, r := range own {
		if r.Daemon == "policyd" && r.Session != "" {
			instance = r.Session
		}
	}
	var found []Record
	for _, r := range slices.Backward(session) {
		if r.QueueID != "" && r.QueueID != anchor.QueueID {
			break
		}
		other := instance != "" && r.Daemon == "policyd" && r.Session != "" && r.Session != instance
		if r.QueueID != "" || other || !sameAddress(r.MailFrom, from) {
			continue
		}
		found = append(found, r)
	}
	slices.Reverse(found)
	return found
}

// userOf returns the user who sent the message.
func userOf(own []Record) string {
	for _, r := range own {
		if r.arrives() && r.User != "" {
			return r.User
		}
	}
	return ""
}

// loginOf returns the last good login of the user from that address in the
// minute before the session's first record.
func loginOf(user string, session []Record, anchor Record, near []Record) (Record, bool) {
	begin := anchor.Time
	if len(session) > 0 {
		begin = session[0].Time
	}
	for _, r := range slices.Backward(near) {
		if r.Event != "login" || user == "" || !strings.EqualFold(r.User, user) || r.Refused() {
			continue
		}
		if ago := begin.Sub(r.Time); ago >= -time.Second && ago <= maxLogin {
			return r, true
		}
	}
	return Record{}, false
}

// left returns the recipients that Postfix got and no delivery names.
func left(own []Record) []string {
	var rcpts []string
	delivered := map[string]bool{}
	for _, r := range own {
		switch {
		case r.Daemon == "milter" && r.Refused():
			return nil
		case r.Daemon == "milter":
			rcpts = r.RcptTo
		case r.Daemon == "lmtpd":
			for _, to := range r.RcptTo {
				delivered[bareAddress(to)] = true
			}
		}
	}
	var out []string
	for _, to := range rcpts {
		if !delivered[bareAddress(to)] {
			out = append(out, to)
		}
	}
	return out
}

// bareAddress folds an address as a record has it, with or without brackets.
func bareAddress(s string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">"))
}

func sameAddress(a, b string) bool { return bareAddress(a) == bareAddress(b) }
