package milter

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

func TestDecidePutsAside(t *testing.T) {
	result := func(v verdict.Verdict, discard bool) *scan.Result { return &scan.Result{Verdict: v, Discard: discard} }
	in, out := origin{Direction: scan.Inbound}, origin{Direction: scan.Outbound, User: "alice@example.org"}
	kept := decision{Verdict: verdict.Quarantine, Keep: true}
	gone := decision{Verdict: verdict.Quarantine, Keep: true, Discard: true}
	for _, tc := range []struct {
		name string
		f    facts
		want decision
		word string
	}{
		{"quarantine", facts{Origin: in, Scan: result(verdict.Quarantine, false)}, kept, "quarantine"},
		{"discard", facts{Origin: in, Scan: result(verdict.Accept, true)}, gone, "discard"},
		{"discard of what is quarantined", facts{Origin: in, Scan: result(verdict.Quarantine, true)}, gone, "discard"},
		{"discard loses against reject", facts{Origin: in, Scan: result(verdict.Reject, true)}, decision{Verdict: verdict.Reject, Reply: replySpam}, "reject"},
		{"discard loses against defer", facts{Origin: in, Scan: result(verdict.Defer, true)}, decision{Verdict: verdict.Defer, Reply: replyLater}, "defer"},
		{"no place to keep it", facts{Origin: in, Scan: result(verdict.Quarantine, false), NoQuarantine: "x"}, decision{Verdict: verdict.Mark}, "mark"},
		{"no place to keep what is discarded", facts{Origin: in, Scan: result(verdict.Accept, true), NoQuarantine: "x"}, decision{Verdict: verdict.Mark}, "mark"},
		{"a user's own mail", facts{Origin: out, Scan: result(verdict.Quarantine, false)}, decision{Verdict: verdict.Reject, Reply: replyKept}, "reject"},
		{"a fault goes first", facts{Origin: in, Scan: result(verdict.Quarantine, false), Fault: errors.New("x")}, decision{Verdict: verdict.Defer, Reply: reply.Broken}, "defer"},
		{"mark", facts{Origin: in, Scan: result(verdict.Mark, false)}, decision{Verdict: verdict.Mark}, "mark"},
		{"not scored", facts{Origin: origin{Direction: scan.Local}}, decision{}, "accept"},
	} {
		if got := decide(tc.f); got != tc.want || got.word() != tc.word {
			t.Errorf("%s: decide = %+v (%s), want %+v (%s)", tc.name, got, got.word(), tc.want, tc.word)
		}
	}
}

// keeper is a quarantine in memory.
type keeper struct {
	entries []quarantine.Entry
	msgs    []string
	err     error
}

func (k *keeper) Put(_ context.Context, e quarantine.Entry, msg io.Reader) (string, error) {
	b, err := io.ReadAll(msg)
	if err != nil {
		return "", err
	}
	if k.err != nil {
		return "", k.err
	}
	k.entries, k.msgs = append(k.entries, e), append(k.msgs, string(b))
	return "20261120-065535-k3f9x2", nil
}

// TestQuarantine: the whole message and its envelope are kept before Postfix is
// told to discard it; nobody is to deliver it.
func TestQuarantine(t *testing.T) {
	for _, discard := range []bool{false, true} {
		cfg := testConfig()
		cfg.ScanBytes, cfg.SpoolMemory, cfg.SpoolDirectory = 64<<10, 32<<10, t.TempDir()
		cfg.Scan.Quarantine = 10
		s := &seen{give: scan.Result{Verdict: verdict.Quarantine, Score: 12, Lines: []verdict.Line{{Name: "X", Score: 12}}, Discard: discard}}
		k, j, v := &keeper{}, &records{}, &verdictRows{}
		ln := serve(t, cfg, Deps{Scan: s.scan, Quarantine: k, Journal: j, Verdicts: v}, quiet(), scan.Inbound)
		m := ln.dial(t).hello()
		msg := plain()
		msg.Rcpt = append(msg.Rcpt, "<bob@example.org>")
		msg.Header = append(msg.Header, "X-Spam-Status: No", "Authentication-Results: mx.example.org; spf=pass")
		msg.Body = strings.Repeat("0123456\r\n", 20_000)
		changes, final := m.transfer(msg)
		if len(changes) != 0 || final != (packet{'d', ""}) {
			t.Fatalf("answer %v %v, want a discard without changes", changes, final)
		}
		want := strings.Join(msg.Header, "\r\n") + "\r\n\r\n" + msg.Body
		if len(k.entries) != 1 || k.msgs[0] != want {
			t.Fatalf("kept %d messages, %d bytes, want %d", len(k.entries), len(k.msgs[0]), len(want))
		}
		e := k.entries[0]
		if e.QueueID != "4ABCDEF123" || e.MailFrom != "sender@example.net" || !reflect.DeepEqual(e.RcptTo, []string{"alice@example.org", "bob@example.org"}) ||
			e.Size != int64(len(want)) || e.Score != 12 || len(e.Lines) != 1 || e.Discard != discard || e.Client.Addr.String() != "192.0.2.7" ||
			e.Client.Helo != "client.example.net" || e.Header.Subject != "hello" || e.Header.From != "Sender <sender@example.net>" ||
			time.Since(e.Arrived) > time.Minute || !strings.HasPrefix(e.Edits.AuthResults, "mx.example.org;") {
			t.Errorf("entry %+v", e)
		}
		b, err := io.ReadAll(e.Leaving(strings.NewReader(want)))
		if forged := strings.Join(msg.Header[5:], "\r\n") + "\r\n"; err != nil || string(b) != strings.Replace(want, forged, "", 1) {
			t.Errorf("a release would deliver %.300q, %v", b, err)
		}
		word := map[bool]string{false: "quarantine", true: "discard"}[discard]
		if r := j.last(t); r.Verdict != word || r.Reply != "" || r.fact("quarantine") != "20261120-065535-k3f9x2" {
			t.Errorf("journal %+v", r)
		}
		if len(v.rows) != 0 {
			t.Errorf("a delivery verdict for what nobody delivers: %v", v.rows)
		}
		// The session goes on.
		s.give = scan.Result{}
		m.send('A')
		if _, final := m.transfer(plain()); final.Code != 'a' {
			t.Errorf("the next message: %v", final)
		}
	}
}

// TestQuarantineFails: a message that could not be kept is the sender's still.
func TestQuarantineFails(t *testing.T) {
	full := reply.Must(451, "3.1", "not enough disk space here, please try again later")
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"full", reply.WithError(full, errors.New("no room; raise it")), "451 4.3.1 not enough disk space here, please try again later"},
		{"broken", errors.New("/secret/path"), "451 4.3.0 temporary fault here, please try again later"},
		{"broken for good", mailerr.With(mailerr.Permanent, errors.New("x")), "451 4.3.0 temporary fault here, please try again later"},
	} {
		s := &seen{give: scan.Result{Verdict: verdict.Quarantine}}
		j := &records{}
		ln := serve(t, testConfig(), Deps{Scan: s.scan, Quarantine: &keeper{err: tc.err}, Journal: j}, quiet(), scan.Inbound)
		changes, final := ln.dial(t).hello().transfer(plain())
		if len(changes) != 0 || final != (packet{'y', tc.want + "\x00"}) {
			t.Errorf("%s: %v %v", tc.name, changes, final)
		}
		if r := j.last(t); r.Verdict != "defer" || r.fact("quarantine") != "" || r.fact("fault") == "" {
			t.Errorf("%s: journal %+v", tc.name, r)
		}
	}
}

// TestQuarantineGoesToJunk: what could not be given back to all who were to have
// it is marked instead.
func TestQuarantineGoesToJunk(t *testing.T) {
	many := plain()
	for range 300 {
		many.Rcpt = append(many.Rcpt, "<"+strings.Repeat("x", 1000)+"@example.org>")
	}
	odd := plain()
	odd.Rcpt = append(odd.Rcpt, "<\xff@example.org>")
	for _, tc := range []struct {
		name string
		msg  mail
		deps Deps
		why  string
	}{
		{"no quarantine", plain(), Deps{}, "there is no quarantine"},
		{"many recipients", many, Deps{Quarantine: &keeper{}}, "it has more recipients than are remembered"},
		{"an odd recipient", odd, Deps{Quarantine: &keeper{}}, "a recipient's address is not UTF-8"},
	} {
		s, j, v := &seen{give: scan.Result{Verdict: verdict.Quarantine}}, &records{}, &verdictRows{}
		tc.deps.Scan, tc.deps.Journal, tc.deps.Verdicts = s.scan, j, v
		_, final := serve(t, testConfig(), tc.deps, quiet(), scan.Inbound).dial(t).hello().transfer(tc.msg)
		if final.Code != 'a' || len(v.rows) != 1 || v.rows[0].Verdict != verdict.Mark {
			t.Errorf("%s: %v, rows %v", tc.name, final, v.rows)
		}
		if r := j.last(t); r.Verdict != "mark" || r.fact("not in quarantine") != tc.why {
			t.Errorf("%s: journal %+v", tc.name, r)
		}
	}
}

// TestQuarantineOnDisk goes through to the real spool.
func TestQuarantineOnDisk(t *testing.T) {
	cfg := quarantine.Default()
	cfg.MinFree = 0
	q, err := quarantine.Open(filepath.Join(t.TempDir(), "q"), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	s := &seen{give: scan.Result{Verdict: verdict.Quarantine}}
	if _, final := serve(t, testConfig(), Deps{Scan: s.scan, Quarantine: q}, quiet(), scan.Inbound).dial(t).hello().transfer(plain()); final.Code != 'd' {
		t.Fatalf("final answer %v", final)
	}
	it, err := q.Show("4ABCDEF123")
	if err != nil || it.MailFrom != "sender@example.net" || it.State != quarantine.Held {
		t.Errorf("Show = %+v, %v", it, err)
	}
}
