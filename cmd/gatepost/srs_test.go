package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/srs"
)

func TestSRSByHand(t *testing.T) {
	cfg := Default()
	cfg.DataDirectory = t.TempDir()
	if r, err := cfg.rewriter(srs.Keys); r != nil || err != nil {
		t.Fatalf("without a domain: %v, %v, want none", r, err)
	}
	cfg.Policyd.SRS.Domain = "SRS.example.org"
	if _, err := cfg.rewriter(srs.ReadKeys); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a command makes keys: %v", err)
	}
	r, err := cfg.rewriter(srs.Keys)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	there := func(s string) (rewritten, error) {
		a, err := srs.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return rewrite(r, a, now)
	}
	out, err := there("bob@far.example")
	if err != nil || out.Direction != "forward" || !strings.HasSuffix(out.Result, "=far.example=bob@srs.example.org") {
		t.Fatalf("forth: %+v, %v", out, err)
	}
	var printed strings.Builder
	if err := rotateSRS(&printed, cfg.srsKeyFile()); err != nil || !strings.Contains(printed.String(), "2 keys") {
		t.Fatalf("rotate: %q, %v", printed.String(), err)
	}
	if r, err = cfg.rewriter(srs.ReadKeys); err != nil {
		t.Fatal(err)
	}
	if back, err := there(out.Result); err != nil || back.Result != "bob@far.example" || back.Direction != "back" {
		t.Errorf("back under the old key: %+v, %v", back, err)
	}
	if back, err := there(strings.Replace(out.Result, "bob", "eve", 1)); !errors.Is(err, srs.ErrForged) || back.Error == "" || back.Result != "" {
		t.Errorf("forged: %+v, %v", back, err)
	}
	if out, err := there("postmaster@srs.example.org"); err != nil || out.Result != "postmaster@srs.example.org" {
		t.Errorf("no sender to rewrite: %+v, %v", out, err)
	}
	cfg.Policyd.SRS.KeyFile = filepath.Join(cfg.DataDirectory, "own.keys")
	if cfg.srsKeyFile() != cfg.Policyd.SRS.KeyFile {
		t.Error("key_file is not taken")
	}
}

// TestPolicyTestKnowsSRS: without a running policy server the command judges SRS
// addresses by the keys, too.
func TestPolicyTestKnowsSRS(t *testing.T) {
	m := newMachine(t)
	m.configure(t, "policyd: {srs: {domain: srs.example.org}}\n")
	m.must(t, "domain", "add", "example.org")
	test := func(sender, rcpt string) string {
		t.Helper()
		a := m.runWith(t, "protocol_state=RCPT\nsender="+sender+"\nrecipient="+rcpt+"\n", "policy", "test")
		return a.out + a.talk
	}
	if out := test("x@far.example", "SRS0=AAAA=AA=far.example=bob@srs.example.org"); !strings.Contains(out, "not judged SRS keys: ") {
		t.Errorf("without keys: %s", out)
	}
	m.must(t, "srs", "rotate")
	made := strings.TrimSpace(m.must(t, "srs", "test", "bob@far.example"))
	if out := test("x@far.example", made); !strings.Contains(out, "because of srs_sender") {
		t.Errorf("with a sender: %s", out)
	}
	if out := test("", made); !strings.HasPrefix(out, "answer     DUNNO") {
		t.Errorf("a bounce: %s", out)
	}
}
