package sieve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/shared"
)

// leftOut names the directories of the suite that test what we do not claim.
var leftOut = []string{"plugins/extprograms/", "extensions/metadata/", "extensions/vnd.dovecot/report/"}

// exceptions are the files that do not pass, with the reason.
var exceptions = map[string]string{
	"execute/examples.svtest": "the copy of the suite lacks the directory of example scripts that it compiles",
}

// TestConformance runs each file of Pigeonhole's own suite. The files below
// failures are scripts that once crashed: each of their tests has to fail, and
// nothing else may happen.
func TestConformance(t *testing.T) {
	root := shared.Path(t, "data/conformance/pigeonhole-svtest/tests")
	s := shared.NewSuite("pigeonhole-svtest", exceptions)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".svtest") {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || slices.ContainsFunc(leftOut, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return err
		}
		if only := os.Getenv("SVTEST"); only == "" || strings.Contains(name, only) {
			s.Case(t, name, runFile(path, strings.HasPrefix(name, "failures/")))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Report(t)
}

// runFile runs one file of the suite.
func runFile(path string, mustFail bool) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	h := newHarness(filepath.Dir(path))
	opts := h.options(path)
	opts.Limits = DefaultLimits()
	s, err := Compile(string(src), opts)
	if err != nil {
		if mustFail {
			return nil
		}
		return err
	}
	m := newMachine(context.Background(), s, h.env, h.defaultMessage(), (*Result)(nil).next())
	h.m = m
	err = m.run(s.unit.progs[0].body)
	if errors.Is(err, errStop) {
		err = nil
	}
	switch {
	case err != nil && !mustFail:
		return err
	case h.tests == 0:
		return errors.New("no test ran")
	case mustFail && len(h.failed) < h.tests:
		return fmt.Errorf("only %d of %d tests failed", len(h.failed), h.tests)
	case !mustFail && len(h.failed) > 0:
		return errors.New(strings.Join(h.failed, "; "))
	}
	return nil
}

// harness is the world that the suite's own commands change.
type harness struct {
	dir      string
	m        *machine // of the test file
	env      *Env
	config   map[string]string
	script   *Script
	compile  Options
	binaries map[string][]byte
	errs     []string
	smtp     []Mail
	folders  map[string][]stored
	tests    int
	failed   []string
	kept     bool // the implicit keep was carried out
}

// stored is a message in a mailbox.
type stored struct {
	raw   []byte
	flags []string
}

// failure is what test_fail gives.
type failure string

func (f failure) Error() string { return string(f) }

func newHarness(dir string) *harness {
	h := &harness{dir: dir, config: map[string]string{}, binaries: map[string][]byte{}, folders: map[string][]stored{"INBOX": nil}}
	h.env = &Env{Limits: DefaultLimits(), Now: time.Date(2026, 11, 20, 15, 0, 0, 0, time.FixedZone("", 3600)), User: User{Name: "tester"}}
	h.env.Mailboxes, h.env.Lists = h, h
	h.env.Spam = h.spam
	h.env.Virus = h.virus
	h.applyConfig()
	return h
}

func (h *harness) options(name string) Options {
	return Options{Name: filepath.Base(name), Limits: h.env.Limits, Include: h.include,
		extraDefs: h.defs(), extraExtensions: []string{"vnd.dovecot.testsuite"},
		extraVariables: map[string]func(*machine, string) string{"tst": func(_ *machine, name string) string {
			if name == "path" {
				return h.dir
			}
			return ""
		}}}
}

func (h *harness) include(global bool, name string) (string, error) {
	dir := "included"
	if global {
		dir = "included-global"
	}
	b, err := os.ReadFile(filepath.Join(h.dir, dir, name+".sieve"))
	return string(b), err
}

func (h *harness) defaultMessage() *Message { return h.message("From: sender@example.net\r\n\r\n") }

// message makes raw the message under test with the envelope it names.
func (h *harness) message(raw string) *Message {
	msg := NewMessage(rawmsg.Scan([]byte(raw), rawmsg.Default()))
	h.env.Envelope.From, h.env.Envelope.To, h.env.Envelope.OrigTo = "sender@example.net", "recipient@example.net", ""
	for name, to := range map[string]*string{"from": &h.env.Envelope.From, "to": &h.env.Envelope.To} {
		for _, v := range msg.head.raws(name) {
			if boxes, _ := mailaddr.ParseMailboxes([]byte(v)); len(boxes) > 0 {
				*to = boxes[0].Addr.String()
			}
		}
	}
	return msg
}

func (h *harness) setMessage(m *machine, msg *Message) {
	m.msg, m.orig = msg, msg
}

// Exists and SpecialUse answer for the harness's mailboxes.
func (h *harness) Exists(_ context.Context, mailbox string) bool {
	_, ok := h.folders[canonicalMailbox(mailbox)]
	return ok
}

func (h *harness) SpecialUse(context.Context, string, string) bool { return false }

// lists stand for the dictionaries that the suite's files name and its copy
// lacks: ":addrbook:default" and ":addrbook:company" hold what the tests look
// for, ":addrbook:empty" nothing.
var lists = map[string][]string{
	":addrbook:default": {"user35@example.org"},
	":addrbook:company": {"user35@example.org"},
	":addrbook:empty":   {},
}

func (h *harness) list(name string) ([]string, bool) {
	name = ":addrbook:" + strings.TrimPrefix(name, "urn:ietf:params:sieve:addrbook:")
	if !slices.Contains(strings.Fields(h.config["sieve_extlists_list"]), name) {
		return nil, false
	}
	l, ok := lists[name]
	return l, ok
}

// Known and Contains answer for the harness's lists.
func (h *harness) Known(name string) bool { _, ok := h.list(name); return ok }

func (h *harness) Contains(_ context.Context, name, value string) (bool, error) {
	l, _ := h.list(name)
	return slices.Contains(l, value), nil
}

// execute carries a result out, as delivery does.
func (h *harness) execute(res *Result, orig *Message) bool {
	h.errs = nil
	ok := true
	for i := range res.Actions {
		a := &res.Actions[i]
		if a.Done || !ok {
			continue
		}
		if a.stores() {
			ok = h.store(a)
		} else if mails, _, err := a.Mails(context.Background(), h.env, "id@localhost"); err != nil {
			h.errs = append(h.errs, err.Error())
			ok = false
		} else {
			h.smtp = append(h.smtp, mails...)
		}
		a.Done = ok
	}
	if !ok {
		h.put("INBOX", orig.Bytes(), nil)
	} else if res.ImplicitKeep && !h.kept {
		h.kept = true
		msg := res.Message()
		if msg == nil {
			msg = orig
		}
		h.put("INBOX", msg.Bytes(), res.KeepFlags)
	}
	return ok
}

func (h *harness) store(a *Action) bool {
	name := canonicalMailbox(a.Mailbox)
	if strings.Contains(name, "//") {
		h.errs = append(h.errs, fmt.Sprintf("failed to store into mailbox '%s': invalid mailbox name", name))
		return false
	}
	if !h.Exists(context.Background(), name) && !a.Create {
		h.errs = append(h.errs, fmt.Sprintf("failed to store into mailbox '%s': mailbox doesn't exist: %s", name, name))
		return false
	}
	h.put(name, a.Message.Bytes(), a.Flags)
	return true
}

// put files a message. The suite's mailboxes mark each for attachments.
func (h *harness) put(name string, raw []byte, flags []string) {
	h.folders[name] = append(h.folders[name], stored{raw: raw, flags: append(slices.Clone(flags), "$HasNoAttachment")})
}
