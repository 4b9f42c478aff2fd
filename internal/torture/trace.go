package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// verb is what an event does.
type verb int

const (
	create verb = iota
	makeDir
	write
	fsync
	move
	link
	unlink
	answer
)

// event is one system call that changed the disk, or one answer.
type event struct {
	verb verb
	// path is what was made, written, synced or removed; to is the new name.
	path, to string
	data     string
	// began is how many events had ended when this one began: what a sync makes
	// durable.
	began int
	// number and user are what was answered with 250.
	number int
	user   string
}

// straced are the calls that are recorded; -y tells the path of each descriptor.
var straced = []string{"-f", "-y", "-s", "4000000", "-e", "signal=none",
	"-e", "trace=openat,mkdirat,read,write,fsync,fdatasync,renameat,renameat2,linkat,unlinkat"}

// Trace delivers messages to a gatepost under strace and returns what it did to
// the mailboxes.
func Trace(ctx context.Context, binary, dir string, seed uint64, messages int) (_ []event, err error) {
	s, err := newSite(binary, dir)
	if err != nil {
		return nil, err
	}
	if err := s.addUsers(ctx, users); err != nil {
		return nil, err
	}
	out := s.path("strace")
	if err := s.start(ctx, append(append([]string{"strace"}, straced...), "-o", out)...); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.endTraced()) }()
	if err := s.burst(ctx, seed, messages); err != nil {
		return nil, err
	}
	if err := s.endTraced(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	return parseTrace(string(b), s.path("vmail"))
}

// burst hands over messages on several connections at once.
func (s *site) burst(ctx context.Context, seed uint64, messages int) error {
	errs := make(chan error, messages)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for n := range messages {
		slots <- struct{}{}
		wg.Go(func() {
			m := newMail(seed, n, time.Now().Truncate(time.Second), users)
			errs <- hand(ctx, s.socket(), m, m.content(seed), func(string) {})
			<-slots
		})
	}
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// endTraced ends the process that strace runs, and strace with it.
func (s *site) endTraced() error {
	if s.cmd == nil {
		return nil
	}
	id := s.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", id, id))
	if err != nil {
		return err
	}
	for _, text := range strings.Fields(string(b)) {
		child, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if err := syscall.Kill(child, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	defer func() { s.cmd = nil }()
	select {
	case <-s.gone:
		return nil
	case <-time.After(patience):
		return errors.Join(errors.New("strace does not end"), s.cmd.Process.Kill())
	}
}

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
	doneCall    = regexp.MustCompile(`(?s)^(.*)\) += (-?\d+)(.*)$`)
	twoPaths    = regexp.MustCompile(`^\d+<([^>]*)>, "([^"]*)", \d+<([^>]*)>, "([^"]*)"`)
	onePath     = regexp.MustCompile(`^\d+<([^>]*)>, "([^"]*)"`)
	ioCall      = regexp.MustCompile(`(?s)^\d+<([^>]*)>(?:, (".*"), \d+)?$`)
	saved       = regexp.MustCompile(`250 2\.0\.0 <([^@>]*)@[^>]*> \S+ saved`)
	numbered    = regexp.MustCompile(numberField + `(\d+)\r`)
)

// parser makes events of the lines of strace -f -y.
type parser struct {
	root   string
	events []event
	// open has the start of a call that waits, by thread.
	open map[string]begun
	// number is the message that a connection has brought.
	number map[string]int
}

type begun struct {
	args  string
	began int
}

// parseTrace returns what was done below root, and the answers.
func parseTrace(text, root string) ([]event, error) {
	p := &parser{root: root, open: make(map[string]begun), number: make(map[string]int)}
	for line := range strings.Lines(text) {
		if err := p.line(strings.TrimSuffix(line, "\n")); err != nil {
			return nil, fmt.Errorf("strace line %.200q: %w", line, err)
		}
	}
	return p.events, nil
}

func (p *parser) line(line string) error {
	if m := resumedLine.FindStringSubmatch(line); m != nil {
		b := p.open[m[1]]
		delete(p.open, m[1])
		return p.ended(m[2], b.args+m[3], b.began)
	}
	m := callLine.FindStringSubmatch(line)
	if m == nil {
		return nil // a thread that began or ended
	}
	args, unfinished := strings.CutSuffix(m[3], " <unfinished ...>")
	if unfinished {
		p.open[m[1]] = begun{args: args, began: len(p.events)}
		if m[2] == "write" { // the client may have an answer before the call ends
			p.answers(args)
		}
		return nil
	}
	if m[2] == "write" {
		p.answers(args)
	}
	return p.ended(m[2], args, len(p.events))
}

// ended takes a call that is over.
func (p *parser) ended(name, call string, began int) error {
	m := doneCall.FindStringSubmatch(call)
	if m == nil || strings.HasPrefix(m[2], "-") {
		return nil // failed, or did not return
	}
	switch name {
	case "read", "write", "fsync", "fdatasync":
		return p.io(name, m[1], m[2], began)
	case "renameat", "renameat2", "linkat":
		return p.names(name, m[1])
	}
	n := onePath.FindStringSubmatch(m[1])
	if n == nil || !p.below(n[1]) {
		return nil
	}
	path := filepath.Join(n[1], n[2])
	switch name {
	case "openat":
		if strings.Contains(m[1], "O_CREAT") {
			p.events = append(p.events, event{verb: create, path: path})
		}
	case "mkdirat":
		p.events = append(p.events, event{verb: makeDir, path: path})
	case "unlinkat":
		p.events = append(p.events, event{verb: unlink, path: path})
	}
	return nil
}

func (p *parser) below(path string) bool {
	return path == p.root || strings.HasPrefix(path, p.root+"/")
}

func (p *parser) names(name, args string) error {
	n := twoPaths.FindStringSubmatch(args)
	if n == nil || !p.below(n[1]) {
		return nil
	}
	e := event{verb: move, path: filepath.Join(n[1], n[2]), to: filepath.Join(n[3], n[4])}
	if name == "linkat" {
		e.verb = link
	}
	p.events = append(p.events, e)
	return nil
}

func (p *parser) io(name, args, result string, began int) error {
	n := ioCall.FindStringSubmatch(args)
	if n == nil {
		if strings.Contains(args, `"..., `) {
			return errCut
		}
		return nil
	}
	path := n[1]
	if name == "fsync" || name == "fdatasync" {
		if p.below(path) {
			p.events = append(p.events, event{verb: fsync, path: path, began: began})
		}
		return nil
	}
	if !p.below(path) && !strings.HasPrefix(path, "socket:") {
		return nil
	}
	data, err := strconv.Unquote(n[2])
	if err != nil {
		return fmt.Errorf("data %.100q: %w", n[2], err)
	}
	if size, err := strconv.Atoi(result); err != nil || size > len(data) {
		return fmt.Errorf("%s bytes of %d are told: %w", result, len(data), errors.Join(err, errCut))
	}
	switch {
	case p.below(path) && name == "write":
		p.events = append(p.events, event{verb: write, path: path, data: data})
	case name == "read":
		if m := numbered.FindStringSubmatch(data); m != nil {
			p.number[path], _ = strconv.Atoi(m[1])
		}
	}
	return nil
}

// answers notes the answers in a write to a connection.
func (p *parser) answers(args string) {
	_, path, _ := strings.Cut(args, "<")
	path, _, _ = strings.Cut(path, ">")
	if !strings.HasPrefix(path, "socket:") {
		return
	}
	for _, m := range saved.FindAllStringSubmatch(args, -1) {
		p.events = append(p.events, event{verb: answer, number: p.number[path], user: m[1]})
	}
}

var errCut = errors.New("strace cut the data")
