package torture

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var kills = flag.Int("kills", 25, "how often TestKill kills gatepost")

// build makes gatepost in a directory that the mail user can get through to.
func build(t *testing.T) (binary, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "gatepost")
	cmd := exec.Command("go", "build", "-o", binary, "../../cmd/gatepost")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build gatepost: %v: %s", err, out)
	}
	return binary, dir
}

// TestKill is `make torture` in small, in two runs of which the second takes up
// the first.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts gatepost often")
	}
	binary, dir := build(t)
	seed := uint64(time.Now().UnixNano())
	for _, n := range []int{*kills / 2, *kills} {
		r, err := Run(t.Context(), Config{Binary: binary, Dir: filepath.Join(dir, "site"), Seed: seed, Kills: n, Senders: 8, Say: t.Logf})
		if err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "site/gatepost.log"))
			t.Fatalf("seed %d: %v\n%.3000s", seed, err, log)
		}
		if len(r.Faults) > 0 || r.Kills != n || r.Messages == 0 || r.Copies < r.Messages {
			t.Fatalf("seed %d: %+v", seed, r)
		}
		t.Logf("%+v", r)
	}
}

// The check finds what it is there for.
func TestCheckFinds(t *testing.T) {
	dir := t.TempDir()
	s := &site{dir: dir}
	l, err := openLedger(filepath.Join(dir, "ledger"), 1, []string{"u0", "u1"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	m, err := l.arrive()
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range l.users {
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(s.mailbox(u), sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole := onDisk(m.content(1))
	write := func(sub, name string, content []byte) {
		t.Helper()
		path := filepath.Join(s.mailbox(m.waiting[0]), sub, fmt.Sprintf("%s,S=%d,W=1", name, len(content)))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	faults := func() int {
		t.Helper()
		var r Report
		if err := check(s, l, &r); err != nil {
			t.Fatal(err)
		}
		return len(r.Faults)
	}
	missing := faults()
	write("new", "1", whole)
	if got := faults(); got != missing-1 {
		t.Errorf("%d faults without the message, %d with it", missing, got)
	}
	there := faults()
	write("cur", "2", whole)
	if got := faults(); got != there+1 {
		t.Errorf("twice: %d faults, want %d", got, there+1)
	}
	write("new", "1", whole[:len(whole)-1]) // another name: another size
	if got := faults(); got != there+2 {
		t.Errorf("half a message: %d faults, want %d", got, there+2)
	}
}

func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, err := openLedger(path, 7, users)
	if err != nil {
		t.Fatal(err)
	}
	var first mail
	for range 3 {
		if first, err = l.arrive(); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range first.waiting {
		if err := l.took(first.number, u); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.killed(); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(l.waiting(), l.next, l.kills, l.seed)
	if _, err := l.file.WriteString("+ 3"); err != nil { // killed while it wrote
		t.Fatal(err)
	}
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openLedger(path, 8, users)
	if err != nil {
		t.Fatal(err)
	}
	defer again.file.Close()
	if got := fmt.Sprint(again.waiting(), again.next, again.kills, again.seed); got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	for _, text := range []string{"x\n", "+ 5 1\n", "= 0 u0\n", "+ y 1\n", "z 1 1\n"} {
		if err := (&ledger{queue: map[int]*mail{}, users: users}).read(text); err == nil {
			t.Errorf("read(%q) is no error", text)
		}
	}
}
