package sieve

import (
	"strconv"
	"time"
)

// VacationAction is a vacation (RFC 5230) that may be answered.
type VacationAction struct {
	// Period is how long one sender gets no second answer.
	Period time.Duration
	// Handle names the answer; the same one is given once in Period.
	Handle string
	// Subject and From are "" where the script gives none.
	Subject, From string
	// Addresses are more addresses of the user.
	Addresses []string
	// MIME says that Reason is a MIME entity with its header.
	MIME   bool
	Reason string
}

// VacationSettings are the administrator's for vacation. The zero value is
// Pigeonhole's default.
type VacationSettings struct {
	// MinPeriod and MaxPeriod bound what a script asks for, DefaultPeriod
	// stands when it asks for nothing. Zeros are one day, no bound and seven
	// days.
	MinPeriod, MaxPeriod, DefaultPeriod time.Duration
	// DefaultSubject is that of an answer to a message without a subject;
	// SubjectTemplate, with "%{subject}" in it, of one to a message with one.
	DefaultSubject, SubjectTemplate string
	// AnyRecipient answers mail that names none of the user's addresses too.
	AnyRecipient bool
	// OriginalRecipient counts the recipient before aliases as the user's.
	OriginalRecipient bool
	// SendFromRecipient sends answers from the recipient, not from <>.
	SendFromRecipient bool
	// IgnoreSender takes the To of an answer from the header alone.
	IgnoreSender bool
}

func (v *VacationSettings) period(asked time.Duration, given bool) time.Duration {
	lowest := v.MinPeriod
	if lowest == 0 {
		lowest = 24 * time.Hour
	}
	if !given {
		if asked = v.DefaultPeriod; asked == 0 {
			asked = 7 * 24 * time.Hour
		}
	}
	asked = max(asked, lowest)
	if v.MaxPeriod > 0 {
		asked = min(asked, v.MaxPeriod)
	}
	return asked
}

// vacationDefs is vacation of RFC 5230 with :seconds of RFC 6131.
func vacationDefs() []*def {
	return []*def{{name: "vacation", ext: "vacation", min: 1, pos: []position{str("reason")}, build: buildVacation, tags: [][]tagDef{{
		{name: "days", ext: "vacation", group: "period", param: argNumber},
		{name: "seconds", ext: "vacation-seconds", group: "period", param: argNumber},
		{name: "subject", ext: "vacation", param: argString},
		{name: "from", ext: "vacation", param: argString},
		{name: "addresses", ext: "vacation", param: argList},
		{name: "mime", ext: "vacation"},
		{name: "handle", ext: "vacation", param: argString},
	}}}}
}

type vacationCommand struct {
	period                time.Duration
	given                 bool
	subject, from, handle text
	addresses             []text
	mime                  bool
	reason                text
}

func buildVacation(c *compiler, cl *call) any {
	v := &vacationCommand{mime: cl.has("mime"), reason: c.text(cl.pos[0].text, cl.pos[0].at)}
	// Without a handle, another text is another answer (RFC 5230 §4.7): that of
	// the script. What variables make of it would be another one each time.
	written := func(tag string) string {
		if a := cl.param(tag); a != nil {
			return a.text
		}
		return ""
	}
	v.handle = text{lit: digest(written("subject"), written("from"), strconv.FormatBool(v.mime), cl.pos[0].text)}
	if u := cl.tags["period"]; u != nil {
		unit := time.Second
		if u.def.name == "days" {
			unit = 24 * time.Hour
		}
		v.given, v.period = true, time.Duration(min(u.arg.num, uint64(365*24*time.Hour/unit)))*unit
	}
	for name, to := range map[string]*text{"subject": &v.subject, "from": &v.from, "handle": &v.handle} {
		if a := cl.param(name); a != nil {
			*to = c.text(a.text, a.at)
		}
	}
	if a := cl.param("addresses"); a != nil {
		v.addresses = c.texts(a.strings(), a.at)
	}
	if v.from.constant() && v.from.lit != "" {
		if _, err := outAddress(v.from.lit); err != nil {
			c.faults.add(cl.n.at, "vacation: %s", err)
			return nil
		}
	}
	return v
}

func (v *vacationCommand) exec(m *machine) error {
	a := &VacationAction{Period: m.env.Settings.Vacation.period(v.period, v.given), Handle: v.handle.eval(m), Subject: v.subject.eval(m),
		From: v.from.eval(m), Addresses: evalAll(v.addresses, m), MIME: v.mime, Reason: v.reason.eval(m)}
	if a.From != "" && !m.env.maySend(a.From) {
		m.warn("vacation: %s is no address of the user", quoteShort(a.From))
		a.From = ""
	}
	return m.add(Action{Kind: Vacation, Vacation: a})
}
