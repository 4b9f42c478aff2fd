package torture

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// mail is one message as Postfix has it in its queue. All of it follows from
// the seed, its number and when it arrived.
type mail struct {
	number  int
	arrived time.Time
	// waiting are the users that have no 250 yet.
	waiting []string
}

// source returns the random numbers of one message or one kill.
func source(seed uint64, kind, number int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(kind)<<32|uint64(number)))
}

// The kinds of choices that follow from a seed.
const (
	kindMail = iota
	kindKill
	kindRead
)

// newMail returns the message of that number with its recipients: one as a rule,
// at times several.
func newMail(seed uint64, number int, arrived time.Time, users []string) mail {
	r := source(seed, kindMail, number)
	n := 1
	if r.IntN(4) == 0 {
		n = 2 + r.IntN(len(users)-1)
	}
	m := mail{number: number, arrived: arrived}
	for _, i := range r.Perm(len(users))[:n] {
		m.waiting = append(m.waiting, users[i])
	}
	return m
}

// content returns the message with CRLF line ends.
func (m mail) content(seed uint64) []byte {
	r := source(seed, kindMail, m.number)
	size := r.IntN(4 << 10)
	switch r.IntN(20) {
	case 0:
		size = r.IntN(1 << 20)
	case 1, 2, 3, 4:
		size = r.IntN(100 << 10)
	}
	b := fmt.Appendf(nil, "Received: from client (unknown [192.0.2.1])\r\n\tby %s (Postfix) with ESMTP id T%X;\r\n\t%s (UTC)\r\n%s%d\r\n\r\n",
		hostname, m.number, m.arrived.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"), numberField, m.number)
	for line := 0; size > 0; line++ {
		n := min(size, 60+r.IntN(18))
		b = append(strconv.AppendInt(b, int64(line), 10), ' ')
		for range n {
			b = append(b, byte('a'+r.IntN(26)))
		}
		b = append(b, '\r', '\n')
		size -= n + 2
	}
	return b
}

// numberField tells which message a file is.
const numberField = "X-Torture: "

var errForeign = errors.New("no message of this run")

// numberOf returns the number of the message in file, and what stands below the
// fields that delivery put on top.
func numberOf(file []byte) (number int, content []byte, err error) {
	at := bytes.Index(file, []byte("Received: from client "))
	if at < 0 {
		return 0, nil, errForeign
	}
	content = file[at:]
	_, rest, ok := strings.Cut(string(content[:min(len(content), 1000)]), "\n"+numberField)
	if !ok {
		return 0, nil, errForeign
	}
	text, _, _ := strings.Cut(rest, "\n")
	number, err = strconv.Atoi(text)
	if err != nil {
		return 0, nil, errForeign
	}
	return number, content, nil
}

// arrivalOf returns when the message with that content came; zero if it does not
// tell.
func arrivalOf(content []byte) time.Time {
	_, rest, _ := strings.Cut(string(content[:min(len(content), 1000)]), ";")
	text, _, _ := strings.Cut(strings.TrimSpace(rest), " (UTC)")
	t, _ := time.Parse("Mon, 02 Jan 2006 15:04:05 -0700", text)
	return t
}

// onDisk returns what a message is in a Maildir.
func onDisk(content []byte) []byte { return bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")) }
