package dmarc

import "errors"

// Question is one question to DNS.
type Question struct {
	// Name is the domain, without "_dmarc." before it.
	Name string `json:"name"`
	// Exists asks whether Name itself exists, and not for its record.
	Exists bool `json:"exists,omitempty"`
}

// String returns the name that is asked for, with "exists " before it where
// that is the question.
func (q Question) String() string {
	if q.Exists {
		return "exists " + q.Name
	}
	return prefix + q.Name
}

// Outcome says what a question gave.
type Outcome string

// The outcomes.
const (
	Found    Outcome = "record"
	NoRecord Outcome = "no record"
	Several  Outcome = "several records" // which is as good as none (RFC 9989 §4.10)
	Exists   Outcome = "exists"
	Missing  Outcome = "does not exist"
	NoAnswer Outcome = "no answer"
)

// Answer is what DNS said to a Question.
type Answer struct {
	Question
	Outcome Outcome `json:"outcome"`
	// Text is the record as it was published.
	Text   string  `json:"text,omitempty"`
	Record *Record `json:"-"`
}

// RecordAnswer returns the answer to the question for the record of name, from
// the TXT records at _dmarc.NAME. Those that are no Policy Records do no harm.
func RecordAnswer(name string, txt []string, err error) Answer {
	a := Answer{Question: Question{Name: name}, Outcome: NoRecord}
	if err != nil {
		a.Outcome = NoAnswer
		return a
	}
	for _, s := range txt {
		r, err := Parse(s)
		if errors.Is(err, ErrNoRecord) {
			continue
		}
		if a.Record != nil {
			return Answer{Question: a.Question, Outcome: Several}
		}
		a.Outcome, a.Text, a.Record = Found, s, &r
	}
	return a
}

// ExistsAnswer returns the answer to the question whether name exists.
func ExistsAnswer(name string, exists bool, err error) Answer {
	a := Answer{Question: Question{Name: name, Exists: true}, Outcome: Missing}
	switch {
	case err != nil:
		a.Outcome = NoAnswer
	case exists:
		a.Outcome = Exists
	}
	return a
}

// Facts are the answers so far, in the order of the questions.
type Facts []Answer

// find returns the answer to q; nil when it was not asked.
func (f Facts) find(q Question) *Answer {
	for i := range f {
		if f[i].Question == q {
			return &f[i]
		}
	}
	return nil
}
