package policyd

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/reply"
)

// The actions of access(5) that policyd can send, beside 4NN and 5NN.
const (
	ActionDunno         = "DUNNO"
	ActionReject        = "REJECT"
	ActionDefer         = "DEFER"
	ActionDeferIfPermit = "DEFER_IF_PERMIT"
	ActionDeferIfReject = "DEFER_IF_REJECT"
	ActionHold          = "HOLD"
	ActionDiscard       = "DISCARD"
	ActionRedirect      = "REDIRECT"
	ActionBCC           = "BCC"
	ActionFilter        = "FILTER"
	ActionPrepend       = "PREPEND"
	ActionWarn          = "WARN"
	ActionInfo          = "INFO"
)

// maxActionText bounds the text of an action, like that of a reply.
const maxActionText = reply.MaxTextBytes

var (
	errAction  = errors.New("not an action of the set that may be sent")
	errPermits = errors.New("any word beyond the actions that Gatepost knows may permit relaying, which needs permits_relay: true")
)

// Action is what Postfix is told to do. Only the functions of this file make
// one, so none that permits exists without a rule that says so. The zero
// Action is none and cannot be written.
type Action struct{ word, text string }

// Dunno returns the action that goes on with the next restriction.
func Dunno() Action { return Action{word: ActionDunno} }

// Refuse returns the action 4NN or 5NN for r. A reply of another class is an
// error.
func Refuse(r reply.Reply) (Action, error) {
	if r.Code() < 400 {
		return Action{}, fmt.Errorf("reply %q refuses nothing", r)
	}
	return Action{word: strconv.Itoa(r.Code()), text: r.Enhanced() + " " + r.Text()}, nil
}

// ParseAction reads an action of the closed set as access(5) has it, for
// example "DUNNO", "REJECT not here" or "450 4.7.1 try later". A code without
// an enhanced status code gets x.7.1, which is Postfix's default.
func ParseAction(s string) (Action, error) {
	a, err := parseAction(s)
	if err != nil {
		return Action{}, err
	}
	return a, nil
}

func parseAction(s string) (Action, error) {
	word, text, _ := strings.Cut(s, " ")
	word = strings.ToUpper(word)
	if err := validActionText(text); err != nil {
		return Action{}, fmt.Errorf("action %q: %w", word, err)
	}
	a := Action{word: word, text: text}
	switch word {
	case ActionDunno:
		return a, noText(a)
	case ActionReject:
		return a, enhancedClass(a, '5')
	case ActionDefer, ActionDeferIfPermit, ActionDeferIfReject:
		return a, enhancedClass(a, '4')
	case ActionHold, ActionDiscard, ActionWarn, ActionInfo:
		return a, nil
	case ActionRedirect, ActionBCC:
		return addressAction(a)
	case ActionFilter:
		return a, validFilter(a)
	case ActionPrepend:
		return a, validPrepend(a)
	}
	return parseCode(word, text)
}

// parseCode reads 4NN and 5NN; every other word is refused, because Postfix
// may know it as one that permits.
func parseCode(word, text string) (Action, error) {
	if len(word) != 3 || word[0] != '4' && word[0] != '5' || !allDigits(word) {
		return Action{}, fmt.Errorf("%q: %w", word, errAction)
	}
	code, err := strconv.Atoi(word)
	if err != nil {
		return Action{}, fmt.Errorf("%q: %w", word, errAction)
	}
	detail := "7.1"
	if class, d, rest, ok := cutEnhanced(text); ok {
		if class != word[0] {
			return Action{}, fmt.Errorf("code %s does not go with %c.%s", word, class, d)
		}
		detail, text = d, rest
	}
	r, err := reply.New(code, detail, text)
	if err != nil {
		return Action{}, err
	}
	return Refuse(r)
}

// relayPermit is the licence to build an action that permits. Only
// Rule.relayPermit gives one.
type relayPermit struct{ rule string }

// permitAction builds an action that permits, or evaluates restrictions by
// name: OK, a word of digits, permit_…, a restriction class.
func permitAction(p relayPermit, word string) (Action, error) {
	if p.rule == "" {
		return Action{}, fmt.Errorf("%q: %w", word, errPermits)
	}
	if word == "" || len(word) > 64 {
		return Action{}, fmt.Errorf("%q: %w", word, errAction)
	}
	for i := range len(word) {
		c := word[i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return Action{}, fmt.Errorf("%q: %w", word, errAction)
		}
	}
	return Action{word: word}, nil
}

// String returns the action as it is sent: "REJECT not here".
func (a Action) String() string {
	if a.text == "" {
		return a.word
	}
	return a.word + " " + a.text
}

// IsZero reports whether a is no action.
func (a Action) IsZero() bool { return a == Action{} }

// Refuses reports whether the SMTP client is told no, now or for the moment.
func (a Action) Refuses() bool {
	switch a.word {
	case ActionReject, ActionDefer, ActionDeferIfPermit:
		return true
	}
	return len(a.word) == 3 && (a.word[0] == '4' || a.word[0] == '5') && allDigits(a.word)
}

const (
	replyStart = "action="
	replyEnd   = "\n\n"
)

// errNoAction is a fault of ours: the connection is closed instead.
var errNoAction = errors.New("no action to send")

// AppendReply writes the reply and returns the longer dst. Postfix waits for
// the empty line until its time is over if it sees a CR, and takes what stands
// before "action=" for other attributes.
func AppendReply(dst []byte, a Action) ([]byte, error) {
	if a.IsZero() {
		return nil, errNoAction
	}
	dst = append(dst, replyStart...)
	dst = append(dst, a.word...)
	if a.text != "" {
		dst = append(dst, ' ')
		dst = append(dst, a.text...)
	}
	return append(dst, replyEnd...), nil
}

// ParseReply reads one reply of the closed set, as AppendReply writes it.
func ParseReply(b []byte) (Action, error) {
	b, ok := bytes.CutPrefix(b, []byte(replyStart))
	if ok {
		b, ok = bytes.CutSuffix(b, []byte(replyEnd))
	}
	if !ok {
		return Action{}, fmt.Errorf("policy reply is not %q … %q", replyStart, replyEnd)
	}
	return ParseAction(string(b))
}

// validActionText refuses what would end the line, what no terminal shows, and
// a blank at an end, which Postfix cuts off.
func validActionText(s string) error {
	if len(s) > maxActionText || !utf8.ValidString(s) {
		return fmt.Errorf("its text is longer than %d bytes or not UTF-8", maxActionText)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return errors.New("its text holds a control character")
		}
	}
	if s != strings.TrimSpace(s) {
		return errors.New("its text begins or ends with a blank")
	}
	return nil
}

func noText(a Action) error {
	if a.text != "" {
		return fmt.Errorf("action %s takes no text", a.word)
	}
	return nil
}

// enhancedClass refuses an enhanced status code of another class at the start
// of the text: Postfix would send "554 4.7.1".
func enhancedClass(a Action, class byte) error {
	if c, _, _, ok := cutEnhanced(a.text); ok && c != class {
		return fmt.Errorf("action %s does not go with an enhanced status code %c", a.word, c)
	}
	return nil
}

// cutEnhanced splits "4.7.1 text" into '4', "7.1" and "text".
func cutEnhanced(s string) (class byte, detail, rest string, ok bool) {
	code, rest, _ := strings.Cut(s, " ")
	part := strings.Split(code, ".")
	if len(part) != 3 || len(part[0]) != 1 {
		return 0, "", "", false
	}
	for _, p := range part {
		if p == "" || len(p) > 3 || !allDigits(p) {
			return 0, "", "", false
		}
	}
	return part[0][0], part[1] + "." + part[2], rest, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func addressAction(a Action) (Action, error) {
	addr, err := mailaddr.Parse(a.text)
	if err != nil || addr.Domain == "" || !strings.EqualFold(addr.String(), a.text) {
		return Action{}, fmt.Errorf("action %s needs one address, quoted where it has to be", a.word)
	}
	a.text = addr.String()
	return a, validActionText(a.text)
}

// validFilter checks transport:destination (access(5)); the destination may be
// empty.
func validFilter(a Action) error {
	transport, _, ok := strings.Cut(a.text, ":")
	if !ok || transport == "" || strings.ContainsAny(a.text, " ,") {
		return fmt.Errorf("action %s needs transport:destination", a.word)
	}
	return nil
}

// validPrepend checks "Name: value", with the name of RFC 5322 §3.6.8.
func validPrepend(a Action) error {
	name, value, ok := strings.Cut(a.text, ": ")
	if !ok || name == "" || value == "" {
		return fmt.Errorf("action %s needs a header field \"Name: value\"", a.word)
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f || name[i] == ':' {
			return fmt.Errorf("action %s needs a header field \"Name: value\"", a.word)
		}
	}
	return nil
}
