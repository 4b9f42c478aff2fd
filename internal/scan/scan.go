package scan

import (
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Direction says where a message comes from. The listener that was asked is
// its proof, not an address.
type Direction int

// The directions.
const (
	// Inbound is mail from strangers.
	Inbound Direction = iota
	// Outbound is mail that one of our users submits.
	Outbound
	// Local is mail made on this host: cron, web applications, bounces.
	Local
	// Own is mail of our own spool.
	Own
)

// String returns the direction's word.
func (d Direction) String() string {
	switch d {
	case Inbound:
		return "inbound"
	case Outbound:
		return "outbound"
	case Local:
		return "local"
	}
	return "own"
}

// Client is the SMTP client that brought the message.
type Client struct {
	Addr netip.Addr
	// Name is its verified name, "" where it has none or nobody knows.
	Name string
	// Helo is what it said, as typed; "" where there was no SMTP.
	Helo string
	TLS  bool
}

// Message is what is known of a message.
type Message struct {
	Direction Direction
	Client    Client
	// User is the SASL login, "" for none.
	User     string
	MailFrom mailaddr.Address
	RcptTo   []mailaddr.Address
	// Raw is the message, or the first part of one longer than was kept.
	Raw *rawmsg.Message
	// Size is the whole message's in bytes; 0 means that of Raw.
	Size int64
	// Auth holds the results of authentication; zero: nothing was checked.
	Auth mailauth.Results
	// Text is Raw decoded; nil: Scan does it.
	Text *message.Message
	// OwnDomains are ours, in lower case: all of them, or at least those in
	// RcptTo.
	OwnDomains []string
	// Known is what is remembered of the sender.
	Known Known
	// Learned is what the learned filter says; zero: it was not asked.
	Learned Learned
	// Listed are the lines of the lists that were asked, with their scores.
	Listed []verdict.Line
}

// Known is what is remembered of the sender. The zero Known remembers nothing
// and gives no line.
type Known struct {
	// Asked says that the memory was asked and answered.
	Asked bool
	// Reply says that In-Reply-To or References names a message which one of
	// the recipients sent; Thread, that they name one nobody here sent, though
	// its right side is a domain of ours.
	Reply, Thread bool
	// Correspondent says that a recipient has written to the author, whose
	// domain is proved.
	Correspondent bool
	// First says that nobody here had mail from this author before.
	First bool
	// Namesake is the address of a user of ours whose own mail bears the name
	// that the author's has, "" for none.
	Namesake string
	// Reputation is what earlier mail of the proved domain, and of the client's
	// network, was.
	Reputation []Reputation
}

// Reputation is what earlier mail of a sender was.
type Reputation struct {
	// Of is "domain" or "network", Key which.
	Of, Key string
	// Value goes from -1, all wanted, to 1, all spam; it is near 0 where little
	// is known.
	Value float64
}

// Learned is what the learned filter says.
type Learned struct {
	// Logit is the logarithm of the odds of spam, calibrated.
	Logit float64
	// Weight is how much of its full weight the filter carries, 0 to 1; it
	// grows with what was learned.
	Weight float64
	// Ham and Spam count the messages learned.
	Ham, Spam int
}

// Result is the judgement.
type Result struct {
	// Lines are what had something to say: the rules in the order of Rules, what
	// was learned, the lists, the allow and deny entries, the admin's rules.
	Lines []verdict.Line `json:"lines"`
	// Score is the sum of Lines.
	Score float64 `json:"score"`
	// Verdict is what SMTP answers and what holds for every recipient who is not
	// in ByRcpt.
	Verdict verdict.Verdict `json:"verdict"`
	// Thresholds are those that led from Score to Verdict, or the server's where
	// the recipients have different ones.
	Thresholds Thresholds `json:"thresholds"`
	// ByRcpt is the verdict for a recipient where it differs: Accept or Mark. Its
	// keys are addresses in lower case, as package delivery has them.
	ByRcpt map[string]verdict.Verdict `json:"by_rcpt,omitempty"`
	// Others is the verdict for an address that is no recipient, where ByRcpt is
	// not empty: Accept or Mark. An alias leads there, which Postfix follows
	// behind the milter.
	Others verdict.Verdict `json:"-"`
	// Discard says that a rule wants the message kept aside and its sender told
	// that it was delivered. It is never set with Defer or Reject.
	Discard bool `json:"discard,omitempty"`
	// Greylist is a wish to see this sender again before the message is let in.
	Greylist bool `json:"greylist,omitempty"`
	// Tags are words that the admin's rules gave, each once.
	Tags []string `json:"tags,omitempty"`
	// Partly says that not all of the message was looked at.
	Partly bool `json:"partly"`
	// Reject is the text for the peer that a rule wants with Verdict Reject,
	// "" for the usual one.
	Reject string `json:"reject,omitempty"`
	// Total is the sum of the lines before each is rounded, for those who sort
	// messages by it. It is within half a hundredth a line of Score.
	Total float64 `json:"-"`
}

// facts are what rules look at.
type facts struct {
	Message
	text *message.Message
	now  time.Time
	// lazyHead is filled by head.
	lazyHead *headFacts
	// lazyPlaces is filled by places.
	lazyPlaces []link.Service
}

func newFacts(m Message, now time.Time) *facts {
	if m.Text == nil {
		m.Text = message.Decode(m.Raw)
	}
	return &facts{Message: m, text: m.Text, now: now}
}

// partly reports whether some of the message was not looked at.
func (f *facts) partly() bool { return f.text.Partly || f.Size > int64(len(f.Raw.Raw)) }

// outcome is what one rule says.
type outcome struct {
	hit bool
	// times multiplies the rule's score.
	times   float64
	options []string
}

// maxOption and maxOptions bound what a line tells of a stranger's text.
const (
	maxOption  = 100
	maxOptions = 5
)

// yes returns a hit with options, cut to what a line holds.
func yes(options ...string) outcome {
	o := outcome{hit: true, times: 1}
	for _, s := range options {
		if len(o.options) == maxOptions {
			break
		}
		o.options = append(o.options, clip(s, maxOption))
	}
	return o
}

// when is a hit without options where b is true.
func when(b bool) outcome { return outcome{hit: b, times: 1} }

// part is a hit that counts for a share of the rule's score, from 0 to 1.
func part(share float64, options ...string) outcome {
	o := yes(options...)
	o.times = max(0, min(share, 1))
	return o
}
