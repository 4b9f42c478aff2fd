package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Bounds of the protocol.
const (
	// MaxItems bounds a list; what comes behind says More.
	MaxItems = 50_000

	maxRequest = 64
	maxAnswer  = 64 << 20
	maxListing = 256 << 20
	minID      = 6
	maxID      = 24
)

var (
	// ErrAway means that the helper does not answer.
	ErrAway = errors.New("the queue helper does not answer")
	// ErrNotFound means that Postfix's queue has no such message, or not where
	// the request wants it.
	ErrNotFound = errors.New("not in the queue")
	// ErrRefused means that the helper will not, or could not.
	ErrRefused = errors.New("the queue helper refuses")
	errInvalid = errors.New("not a line of the queue helper's protocol")
)

// Verb is what a request asks for.
type Verb string

// The verbs.
const (
	List    Verb = "list"
	Hold    Verb = "hold"
	Release Verb = "release"
	Delete  Verb = "delete"
)

// Item is a message in the queue.
type Item struct {
	// Queue is Postfix's name of the part: incoming, active, deferred, hold.
	Queue   string    `json:"queue"`
	ID      string    `json:"id"`
	Arrived time.Time `json:"arrived"`
	Bytes   int64     `json:"bytes"`
	// MailFrom is "" for the null sender.
	MailFrom string `json:"mail_from"`
	// Rcpts is how many recipients wait.
	Rcpts int `json:"rcpts"`
}

// Held reports whether the message is on hold.
func (i Item) Held() bool { return i.Queue == "hold" }

// Listing is the answer to list.
type Listing struct {
	Items []Item `json:"items"`
	// More says that the queue has more than MaxItems messages.
	More bool `json:"more,omitempty"`
}

// request is one line.
type request struct {
	verb Verb
	id   string
}

// ValidID reports whether id has the form of a queue id, short or long: nothing
// that postsuper could take for an option or for "ALL".
func ValidID(id string) bool {
	if len(id) < minID || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// parseRequest reads a line without its end.
func parseRequest(line string) (request, error) {
	if line == string(List) {
		return request{verb: List}, nil
	}
	verb, id, _ := strings.Cut(line, " ")
	r := request{Verb(verb), id}
	switch r.verb {
	case Hold, Release, Delete:
		if ValidID(id) {
			return r, nil
		}
	}
	return request{}, errInvalid
}

// append writes r as a line.
func (r request) append(b []byte) ([]byte, error) {
	b = append(b, r.verb...)
	if r.verb != List {
		b = append(append(b, ' '), r.id...)
	}
	if _, err := parseRequest(string(b)); err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// appendAnswer writes an answer. A text for a person loses its line ends.
func appendAnswer(b []byte, list *Listing, err error) ([]byte, error) {
	switch {
	case err != nil:
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, err.Error())
		return append(append(append(b, "no "...), text[:min(len(text), 500)]...), '\n'), nil
	case list == nil:
		return append(b, "ok\n"...), nil
	}
	b = append(b, "ok "...)
	j, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encode the queue: %w", err)
	}
	return append(append(b, j...), '\n'), nil
}

// parseAnswer reads a line without its end.
func parseAnswer(line []byte, verb Verb) (list Listing, err error) {
	word, rest, _ := bytes.Cut(line, []byte(" "))
	switch {
	case string(word) == "no" && string(rest) == ErrNotFound.Error():
		return list, ErrNotFound
	case string(word) == "no":
		return list, fmt.Errorf("%w: %s", ErrRefused, rest)
	case string(word) != "ok" || (verb == List) == (len(rest) == 0):
		return list, errInvalid
	case verb != List:
		return list, nil
	}
	if err := json.Unmarshal(rest, &list); err != nil {
		return Listing{}, fmt.Errorf("%w: %w", errInvalid, err)
	}
	for _, i := range list.Items {
		if !ValidID(i.ID) {
			return Listing{}, errInvalid
		}
	}
	if len(list.Items) > MaxItems {
		return Listing{}, errInvalid
	}
	return list, nil
}

// parsePostqueue reads what "postqueue -j" prints: an object for each message.
func parsePostqueue(r io.Reader) (Listing, error) {
	out := Listing{Items: []Item{}}
	d := json.NewDecoder(io.LimitReader(r, maxListing))
	for {
		var m struct {
			Queue   string     `json:"queue_name"`
			ID      string     `json:"queue_id"`
			Arrived int64      `json:"arrival_time"`
			Bytes   int64      `json:"message_size"`
			From    string     `json:"sender"`
			Rcpts   []struct{} `json:"recipients"`
		}
		err := d.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return Listing{}, fmt.Errorf("postqueue -j: %w", err)
		case !ValidID(m.ID):
			return Listing{}, errors.New("postqueue -j: an id of another form")
		case len(out.Items) == MaxItems:
			out.More = true
			return out, nil
		}
		if m.From == "MAILER-DAEMON" { // as it shows the null sender
			m.From = ""
		}
		out.Items = append(out.Items, Item{m.Queue, m.ID, time.Unix(m.Arrived, 0).UTC(), m.Bytes, m.From, len(m.Rcpts)})
	}
}
