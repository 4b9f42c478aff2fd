//go:build linux

package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

const (
	maxUsers     = 500
	userPassword = "a long enough password"
	// workers send at once.
	workers = 4
	// sessions are open at once when what follows a login is measured.
	sessions = 20
)

func mailbox(i int) string { return fmt.Sprintf("u%d@%s", i, lab.Domain) }

// gtube is the test pattern of spam filters, in two parts so that no filter on
// the way to a reader of this file takes offence.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// kind is one sort of work, and how n of it are done.
type kind struct {
	name string
	do   func(w *world, n int) error
}

// The kinds, in their order: what is first for a user comes before what is
// repeated.
const (
	kindAccepted = iota
	kindRefused
	kindWaits
	kindUnknown
	kindFirstLogin
	kindLogin
	kindSent
	kindLearn
	numKinds
)

var kinds = [numKinds]kind{
	kindAccepted: {"in: accepted and delivered", func(w *world, n int) error {
		return each(n, func(i int) error { return w.inbound(i, lab.StrangerIP, mailbox(i), body(i), 250) })
	}},
	kindRefused: {"in: spam, refused at its end", func(w *world, n int) error {
		return each(n, func(i int) error { return w.inbound(i+maxUsers, lab.StrangerIP, mailbox(i), gtube, 554) })
	}},
	kindWaits: {"in: greylisted", func(w *world, n int) error {
		return each(n, func(i int) error {
			return w.inbound(i, fmt.Sprintf("203.0.113.%d", 100+i%100), mailbox(i), body(i), 450)
		})
	}},
	kindUnknown: {"in: unknown recipient", func(w *world, n int) error {
		return each(n, func(i int) error { return w.inbound(i, lab.StrangerIP, "nobody-"+mailbox(i), body(i), 550) })
	}},
	kindFirstLogin: {"login, first of a password", logins},
	kindLogin:      {"login, repeated", logins},
	kindSent:       {"out: submitted and sent", submissions},
	kindLearn:      {"learn", learns},
}

// each does n things, some at once, and returns the first error.
func each(n int, do func(i int) error) error {
	var mu sync.Mutex
	var first error
	next := 0
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				done := i >= n || first != nil
				mu.Unlock()
				if done {
					return
				}
				if err := do(i); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return first
}

// body is text of some 4 KB, another one for each i.
func body(i int) string {
	words := strings.Fields("the report of last week lies with the minutes of the meeting and needs a word from you before it goes to print")
	var b strings.Builder
	for n := 0; b.Len() < 4000; n++ {
		fmt.Fprintf(&b, "%s %d", words[(n*7+i)%len(words)], (n*31+i*17)%997)
		b.WriteByte(" \n"[min(n%9/8, 1)])
	}
	return b.String()
}

// inbound sends one message from outside, and wants one answer.
func (w *world) inbound(i int, from, to, text string, want int) error {
	author := fmt.Sprintf("carol%d@example.com", i)
	helo := "mail.example.com"
	if from != lab.StrangerIP {
		author, helo = fmt.Sprintf("dave%d@example.net", i), fmt.Sprintf("[%s]", from)
	}
	msg := lab.Message{From: author, To: to, Subject: "The report", ID: fmt.Sprintf("<in.%d.%d@example.com>", i, want), Body: text}
	out, err := w.lab.Send(lab.Mail{From: from, Helo: helo, MailFrom: author, RcptTo: []string{to}, Data: msg.Bytes()})
	if err == nil && out.Reply.Code != want {
		err = fmt.Errorf("a message of %s to %s: %v at %s, want %d", from, to, out.Reply, out.At, want)
	}
	return err
}

// open begins a session of a user, with a login.
func (w *world) open(i int) (*lab.SMTP, error) {
	c, err := w.lab.Dial(lab.UserIP, lab.ServerIP+":465")
	if err != nil {
		return nil, err
	}
	err = c.Hello("laptop.invalid")
	if err == nil {
		var r lab.Reply
		if r, err = c.Auth(mailbox(i), userPassword); err == nil && r.Code != 235 {
			err = fmt.Errorf("login of %s: %v", mailbox(i), r)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func logins(w *world, n int) error {
	return each(n, func(i int) error {
		c, err := w.open(i)
		if err != nil {
			return err
		}
		c.Close()
		return nil
	})
}

// submissions sends a message in each of n sessions that are logged in. What it
// took to open them is not of this kind.
func submissions(w *world, n int) error {
	for from := 0; from < n; from += sessions {
		m := min(sessions, n-from)
		open := make([]*lab.SMTP, m)
		before, err := w.look()
		if err != nil {
			return err
		}
		err = each(m, func(i int) (err error) {
			open[i], err = w.open(from + i)
			return err
		})
		if err != nil {
			return err
		}
		time.Sleep(settleTime) // the journal is written behind
		after, err := w.look()
		if err != nil {
			return err
		}
		w.other = w.other.plus(after.minus(before))
		w.otherTime += after.at.Sub(before.at)
		err = each(m, func(i int) error {
			defer open[i].Close()
			to := fmt.Sprintf("dave%d@example.net", from+i)
			msg := lab.Message{From: mailbox(from + i), To: to, Subject: "The report", ID: fmt.Sprintf("<out.%d@example.org>", from+i), Body: body(from + i)}
			out, err := open[i].Transaction(mailbox(from+i), []string{to}, msg.Bytes())
			if err == nil && (out.At != "message" || out.Reply.Code != 250) {
				err = fmt.Errorf("a message of %s: %v at %s", mailbox(from+i), out.Reply, out.At)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func learns(w *world, n int) error {
	for i := range n {
		msg := lab.Message{From: "Sales <sales@example.net>", To: mailbox(i), Subject: "Cheap watches", ID: fmt.Sprintf("<learn.%d@example.net>", i), Body: body(i)}
		if _, err := w.lab.CLI(string(msg.Bytes()), "learn", "spam", "-"); err != nil {
			return err
		}
	}
	return nil
}
