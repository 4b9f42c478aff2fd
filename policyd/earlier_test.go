package policyd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
)

// readingJournal keeps each record and what it said when it came, and reads all of
// them at the same time, as the journal's writer does.
type readingJournal struct {
	mu   sync.Mutex // guards the fields below
	list []journal.Record
	was  []string
	wg   sync.WaitGroup
}

func said(r journal.Record) string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (f *readingJournal) Record(r journal.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list, f.was = append(f.list, r), append(f.was, said(r))
	f.wg.Go(func() { _ = said(r) })
}

// check reports records that have become other ones, and returns all.
func (f *readingJournal) check(t *testing.T) []journal.Record {
	t.Helper()
	f.wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range f.list {
		if now := said(r); now != f.was[i] {
			t.Errorf("record %d was %s\nand became %s", i, f.was[i], now)
		}
	}
	return f.list
}

// limitsTold returns the names of the limits that a record tells of.
func limitsTold(r journal.Record) (names []string) {
	for _, f := range r.Facts {
		if name, _, ok := strings.Cut(strings.TrimPrefix(f.Value, "limit "), ":"); f.Key == "limit" && ok {
			names = append(names, name)
		}
	}
	return names
}

// mailsOf has one connection ask about mails of several users, some of which a
// limit refuses, and returns the answers. A mail may be asked about a second time
// with another policy_context.
func mailsOf(c *smtpd, n int, second string) []string {
	var out []string
	for i := range n {
		user := []string{"alice@example.org", "bob@example.org"}[i%2]
		req := outbound(StateRcpt, user)
		req.SASL.Username, req.Instance, req.PolicyContext = user, fmt.Sprint(i), "submission"
		for j := range 1 + i%3 {
			req.RcptTo = fmt.Sprintf("r%d.%d@example.net", i, j)
			out = append(out, c.ask(req))
		}
		req.ProtocolState, req.RcptTo, req.RecipientCount, req.Size = StateData, "", int64(1+i%3), int64(100*i)
		out = append(out, c.ask(req))
		req.ProtocolState, req.Size, req.PolicyContext = StateEndOfMessage, int64(100*i+i%5*30), second
		out = append(out, c.ask(req), c.ask(req)) // the same again is answered as before
	}
	return out
}

func earlierConfig(c *Config) {
	c.Limits = []limit.Limit{
		{Name: "user", Rate: limit.Per(30, time.Hour)},
		{Name: "watched", Of: limit.Messages, Rate: limit.Per(2, time.Hour), Mode: "observe"},
		{Name: "traffic", Of: limit.Bytes, Rate: limit.Rates{{Count: 9000, Window: time.Hour, Bytes: true}}},
		{Name: "network", By: limit.ByClientNetwork, Of: limit.Messages, Rate: limit.Per(1000, time.Hour)},
		{Name: "late", By: "user,client", Of: limit.Messages, Rate: limit.Per(1000, time.Hour)},
	}
	c.Profiles = map[string]Profile{"submission": {Limits: &[]string{"user", "watched", "traffic", "network"}}}
}

// TestEarlierRecordsStay: what a connection uses again for the next request is in
// no record and no answer of the requests before.
func TestEarlierRecordsStay(t *testing.T) {
	kept := &readingJournal{}
	r := newRig(t, earlierConfig)
	s, err := New(r.cfg, Deps{Accounts: r.accounts, Limits: limit.New(&fakeCounters{}), Journal: kept}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipeListener()
	stop := serve(t, s.Serve, ln)
	r.dial = ln.dial
	var wg sync.WaitGroup
	for range 4 { // they speak of the same mails, and share what is remembered
		c := r.smtpd(t)
		wg.Go(func() { mailsOf(c, 40, "other") })
	}
	wg.Wait()
	stop()
	refused, limits := 0, 0
	for _, one := range kept.check(t) {
		if one.Verdict == "defer" {
			refused++
		}
		told := limitsTold(one)
		limits += len(told)
		slices.Sort(told)
		if n := len(told); len(slices.Compact(told)) != n { // as it is where one result lies over another
			t.Errorf("a record tells of the limits %q", told)
		}
	}
	if refused == 0 || limits == 0 {
		t.Errorf("%d refused, %d limits told, want some of both for the test to mean something", refused, limits)
	}
}

// TestUsedConnectionAnswersAlike plays the same mails over one connection, and
// over one for each request.
func TestUsedConnectionAnswersAlike(t *testing.T) {
	play := func(once bool) (answers, records []string) {
		r := newRig(t, earlierConfig)
		talk := &policyTalk{server: r.server}
		for i := range 60 {
			user := []string{"alice@example.org", "bob@example.org"}[i/2%2]
			req := outbound(StateRcpt, user)
			req.SASL.Username, req.Instance, req.PolicyContext = user, fmt.Sprint(i), "submission"
			for j, state := range []State{StateRcpt, StateRcpt, StateData, StateEndOfMessage} {
				req.ProtocolState, req.RcptTo, req.RecipientCount = state, fmt.Sprintf("r%d@example.net", j), 0
				if counts(state) {
					req.RcptTo, req.RecipientCount, req.Size = "", 2, int64(10*i+j*40)+int64(i/9%2)*8900
				}
				if state == StateEndOfMessage && i%3 > 0 {
					req.PolicyContext = "other" // one limit more, and traffic is topped up
				}
				wire, err := req.Append(nil)
				if err != nil {
					t.Fatal(err)
				}
				if once {
					talk = &policyTalk{server: r.server}
				}
				answer, err := talk.answer(t.Context(), wire, nil)
				if err != nil {
					t.Fatal(err)
				}
				ends := strings.Index(string(answer), "; ends")
				if ends < 0 {
					ends = len(answer)
				}
				answers = append(answers, string(answer[:ends]))
			}
		}
		for _, one := range r.journal.records() {
			for _, f := range one.Facts {
				value, _, _ := strings.Cut(f.Value, "; ends")
				records = append(records, one.Event+" "+f.Key+" "+value)
			}
		}
		return answers, records
	}
	answers, records := play(false)
	fresh, freshRecords := play(true)
	for i := range answers {
		if answers[i] != fresh[i] {
			t.Fatalf("request %d over one connection got %q, over many %q", i, answers[i], fresh[i])
		}
	}
	if len(records) != len(freshRecords) {
		t.Fatalf("over one connection the journal has %d facts, over many %d", len(records), len(freshRecords))
	}
	for i := range records {
		if records[i] != freshRecords[i] {
			t.Fatalf("over one connection fact %d is %q, over many %q", i, records[i], freshRecords[i])
		}
	}
	for _, want := range []string{"limit user", "limit traffic"} {
		if !slices.ContainsFunc(answers, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("no mail was refused by %s", want)
		}
	}
}

// TestRecordOfNoRecipient: a record has the place of the first recipient for good,
// also when that was empty.
func TestRecordOfNoRecipient(t *testing.T) {
	kept := &readingJournal{}
	r := newRig(t, earlierConfig)
	s, err := New(r.cfg, Deps{Accounts: r.accounts, Limits: limit.New(&fakeCounters{}), Journal: kept}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	talk := &policyTalk{server: s}
	for _, step := range []struct {
		state State
		rcpt  string
	}{{StateRcpt, ""}, {StateData, ""}, {StateRcpt, "x@example.net"}} {
		req := outbound(step.state, "alice@example.org")
		req.SASL.Username, req.Instance, req.PolicyContext = "alice@example.org", "one", "submission"
		req.RcptTo, req.RecipientCount = step.rcpt, 1
		wire, err := req.Append(nil)
		if err == nil {
			_, err = talk.answer(t.Context(), wire, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	talk.end()
	if n := len(kept.check(t)); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
}
