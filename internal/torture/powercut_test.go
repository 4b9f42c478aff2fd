package torture

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPowerCut records a real gatepost and looks at each state that a power cut
// may leave. Then it leaves out what makes deliveries durable, and the check has
// to find that.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("runs gatepost under strace")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("strace is missing")
		}
		t.Skip("strace is missing: apt-get install strace")
	}
	binary, dir := build(t)
	site := filepath.Join(dir, "site")
	seed := uint64(time.Now().UnixNano())
	events, err := Trace(t.Context(), binary, site, seed, 25)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	root := filepath.Join(site, "vmail")
	count := make(map[verb]int)
	for _, e := range events {
		count[e.verb]++
	}
	copies := 0
	for n := range 25 {
		copies += len(newMail(seed, n, time.Now(), users).waiting)
	}
	if count[answer] != copies || count[move]+count[link] < copies || count[fsync] < 25 || count[write] < 25 {
		t.Fatalf("seed %d: recorded %v, want %d answers", seed, count, copies)
	}
	states, faults, err := Replay(events, root, seed)
	if err != nil || len(faults) > 0 {
		t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(faults, "\n"))
	}
	t.Logf("seed %d: %d events, %d answers, %d states of the disk", seed, len(events), copies, states)
	for name, without := range map[string]func(e event) bool{
		"the sync of files": func(e event) bool { return e.verb == fsync && strings.Contains(e.path, "/tmp/") },
		"the sync of new":   func(e event) bool { return e.verb == fsync && strings.HasSuffix(e.path, "/new") },
		"the sync of homes": func(e event) bool { return e.verb == fsync && strings.HasSuffix(e.path, domain) },
	} {
		// A sync that is left out is one that made nothing durable, so that no
		// number moves.
		broken := slices.Clone(events)
		for i := range broken {
			if without(broken[i]) {
				broken[i] = event{verb: answer, user: "nobody", number: -1}
			}
		}
		if _, faults, err := Replay(skipNobody(broken), root, seed); err != nil || len(faults) == 0 {
			t.Errorf("seed %d: without %s: %d faults, %v", seed, name, len(faults), err)
		}
	}
}

// skipNobody makes events of no effect of what was left out.
func skipNobody(events []event) []event {
	for i, e := range events {
		if e.user == "nobody" {
			events[i] = event{verb: unlink, path: events[0].path + "-never"}
		}
	}
	return events
}

func TestParseTrace(t *testing.T) {
	const text = `12 openat(5</v/a/tmp>, "1", O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600) = 6</v/a/tmp/1>
12 openat(5</v/a/tmp>, "1", O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600) = -1 EEXIST (File exists)
12 openat(5</v/a>, "tmp", O_RDONLY|O_DIRECTORY) = 6</v/a/tmp>
13 read(9<socket:[77]>, "Received: x\r\nX-Torture: 17\r\n\r\n", 32768) = 30
12 write(6</v/a/tmp/1>, "x\"\n", 3) = 3
12 fsync(6</v/a/tmp/1> <unfinished ...>
13 mkdirat(4</v>, "b", 0700) = 0
12 <... fsync resumed>) = 0
12 renameat2(5</v/a/tmp>, "1", 6</v/a/new>, "2,S=3", RENAME_NOREPLACE) = 0
12 linkat(5</v/a/tmp>, "1", 6</v/a/new>, "3", 0) = 0
13 write(9<socket:[77]>, "250 2.0.0 <u1@example.test> S.1 saved\r\n", 39 <unfinished ...>
12 unlinkat(5</v/a/tmp>, "1", 0) = 0
13 <... write resumed>) = 39
12 unlinkat(5</elsewhere>, "1", 0) = 0
12 +++ exited with 0 +++
`
	got, err := parseTrace(text, "/v")
	want := []event{
		{verb: create, path: "/v/a/tmp/1"}, {verb: write, path: "/v/a/tmp/1", data: "x\"\n"},
		{verb: makeDir, path: "/v/b"}, {verb: fsync, path: "/v/a/tmp/1", began: 2},
		{verb: move, path: "/v/a/tmp/1", to: "/v/a/new/2,S=3"}, {verb: link, path: "/v/a/tmp/1", to: "/v/a/new/3"},
		{verb: answer, number: 17, user: "u1"}, {verb: unlink, path: "/v/a/tmp/1"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("parseTrace = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseTrace("1 write(6</v/a>, \"x\"..., 3) = 3\n", "/v"); err == nil {
		t.Error("data that was cut are taken")
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add("1 write(6</v/a>, \"x\", 1) = 1\n1 fsync(6</v/a> <unfinished ...>\n1 <... fsync resumed>) = 0\n")
	f.Fuzz(func(t *testing.T, text string) { _, _ = parseTrace(text, "/v") })
}
