package main

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/limit"
)

// aloneLimits are what alice may do in the tests below.
const aloneLimits = `policyd:
  limits:
    - {name: mails, of: messages, rate: 6/1h}
    - {name: people, of: distinct_recipients, rate: 3/1h}
`

// send has policyd count one mail of alice to a recipient, as Postfix asks at DATA,
// and returns the answer and how long it took.
func (s *split) send(t *testing.T, rcpt string) (answer string, took time.Duration) {
	t.Helper()
	p := s.peer(t, "queue/gatepost", "policy")
	id := rand.Text()
	for _, at := range []string{"RCPT\nrecipient=" + rcpt, "DATA\nrecipient_count=1"} {
		began := time.Now()
		answer = p.ask("request=smtpd_access_policy\nclient_address=198.51.100.7\ninstance="+id+
			"\nsender=alice@example.org\nsasl_username=alice@example.org\nprotocol_state="+at+"\n\n", "\n\n")
		took = max(took, time.Since(began))
		if !strings.HasPrefix(answer, "action=DUNNO") {
			break
		}
	}
	return answer, took
}

// passes sends n mails to a recipient, each of which is allowed, and returns the
// longest wait.
func (s *split) passes(t *testing.T, n int, rcpt string) (took time.Duration) {
	t.Helper()
	for i := range n {
		answer, d := s.send(t, rcpt)
		if !strings.HasPrefix(answer, "action=DUNNO") {
			t.Errorf("mail %d of %d is answered %q", i+1, n, answer)
		}
		took = max(took, d)
	}
	return took
}

func (s *split) refuses(t *testing.T, rcpt, what string) {
	t.Helper()
	if answer, _ := s.send(t, rcpt); !strings.HasPrefix(answer, "action=4") && !strings.HasPrefix(answer, "action=5") {
		t.Errorf("%s: a mail above the limit is answered %q", what, answer)
	}
}

// counted returns what the state process has of a limit of alice.
func (s *split) counted(t *testing.T, name string) (used int64) {
	t.Helper()
	var all []limit.Usage
	if err := json.Unmarshal([]byte(s.must(t, "limit", "show", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		if u.Limit == name {
			used += u.Used
		}
	}
	return used
}

// onDisk waits until a crash of the state process would lose nothing.
func (s *split) onDisk(t *testing.T) {
	t.Helper()
	within(t, 10*time.Second, "the state is on the disk", func() bool {
		var st admin.State
		err := json.Unmarshal([]byte(s.must(t, "state", "stats", "--json")), &st)
		return err == nil && st.Embedded.Behind == 0
	})
}

// trips returns how often the log says that the state is away, and back.
func (s *served) trips() (away, back int) {
	return strings.Count(s.logged(), "goes on alone"), strings.Count(s.logged(), "shared state is back")
}

// TestSplitCountsAlone: while the state process is dead limits hold all the same,
// and what was allowed then it knows when it is back, once.
func TestSplitCountsAlone(t *testing.T) {
	s := startSplit(t, aloneLimits)
	policyd := s.procs["policyd"]
	s.passes(t, 3, "a@example.net")
	s.onDisk(t)
	s.procs[stateName].kill()
	s.passes(t, 2, "a@example.net")
	s.passes(t, 1, "b@example.net")
	s.refuses(t, "a@example.net", "state away")
	policyd.until(t, "this host goes on alone")
	if n := s.counted(t, "mails"); n != 3 {
		t.Errorf("state away: limit show has %d mails, want the 3 on the disk", n)
	}

	s.start(t, stateName)
	s.ready(t, stateName)
	policyd.until(t, "shared state is back")
	within(t, 10*time.Second, "all is handed over", func() bool { return s.counted(t, "mails") >= 6 && s.counted(t, "people") == 2 })
	s.refuses(t, "a@example.net", "state is back")
	if away, back := policyd.trips(); away != back {
		t.Errorf("the log says %d times that the state is away, and %d times that it is back", away, back)
	}
	if away, _ := policyd.trips(); s.counted(t, "mails") >= 6+int64(away) {
		t.Errorf("%d mails are counted, want 6", s.counted(t, "mails"))
	}

	// What this process has forgotten the other one has.
	policyd.signal(t, syscall.SIGTERM)
	if err := policyd.cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.start(t, "policyd")
	s.ready(t, "policyd")
	s.refuses(t, "a@example.net", "policyd is new")
}

// TestSplitStateStops: a state process that hangs keeps one request of policyd
// waiting, nobody after it, and counts nothing that was counted without it.
func TestSplitStateStops(t *testing.T) {
	s := startSplit(t, strings.ReplaceAll(aloneLimits, "/1h", "0/1h"))
	policyd := s.procs["policyd"]
	s.passes(t, 3, "a@example.net")
	s.procs[stateName].signal(t, syscall.SIGSTOP)
	if first := s.passes(t, 1, "a@example.net"); first > 3*time.Second {
		t.Errorf("the first request waits %v", first)
	}
	var later []time.Duration
	for range 20 {
		later = append(later, s.passes(t, 1, "a@example.net"))
	}
	if slices.Sort(later); later[len(later)/2] > 100*time.Millisecond {
		t.Errorf("requests wait %v", later)
	}
	t.Logf("half of the requests wait %v at most, all %v", later[len(later)/2], later[len(later)-1])
	policyd.until(t, "this host goes on alone")
	s.procs[stateName].signal(t, syscall.SIGCONT)
	policyd.until(t, "shared state is back")
	within(t, 10*time.Second, "all is handed over", func() bool { return s.counted(t, "mails") >= 24 })
	// A busy machine may make one answer late, which is counted on both sides.
	if away, _ := policyd.trips(); s.counted(t, "mails") >= 24+int64(away) {
		t.Errorf("%d mails are counted, want 24", s.counted(t, "mails"))
	}
}

// TestSplitGuardAlone: a ban that is known holds for logins while the state process
// is dead, and strangers pass the greylist.
func TestSplitGuardAlone(t *testing.T) {
	s := startSplit(t, "policyd: {greylist: {mode: always}}\n")
	s.must(t, "ban", "add", "203.0.113.0/24", "--for", "1d")
	banned := func() bool { return strings.HasPrefix(s.login(t, "203.0.113.9", "wonderland"), "FAIL") }
	within(t, 2*time.Second, "the ban holds", banned)
	stranger := func(n int) string {
		p := s.peer(t, "queue/gatepost", "policy")
		return p.ask("request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2."+strconv.Itoa(n)+
			"\ninstance="+rand.Text()+"\nsender=x@example.net\nrecipient=alice@example.org\n\n", "\n\n")
	}
	if got := stranger(1); !strings.HasPrefix(got, "action=DEFER") && !strings.HasPrefix(got, "action=45") {
		t.Errorf("a stranger is answered %q", got)
	}
	s.procs[stateName].kill()
	if !banned() {
		t.Error("state away: the ban does not hold")
	}
	for n := range 5 {
		if got := stranger(n + 2); !strings.HasPrefix(got, "action=DUNNO") {
			t.Errorf("state away: a stranger is answered %q", got)
		}
	}
}
