package milter

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/seal"
	"github.com/gatepost/gatepost/internal/verdict"
)

// verdictKeys returns the keys of two hosts.
func verdictKeys(t testing.TB) *seal.Live {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("a "+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &seal.Live{}
	l.Set(ring)
	return l
}

// open proves the field on msg as the next host does.
func open(t testing.TB, keys *seal.Live, fields []string, body string) (seal.Sealed, error) {
	t.Helper()
	msg := strings.ReplaceAll(strings.ReplaceAll(strings.Join(fields, "\r\n"), "\r\n", "\n"), "\n", "\r\n") + "\r\n\r\n" + body
	return keys.Open(value(fields, seal.Field), time.Now(), func() (seal.Sum, error) { return seal.Read(strings.NewReader(msg)) })
}

func TestVerdictIsSealed(t *testing.T) {
	keys := verdictKeys(t)
	long := plain()
	long.Body = strings.Repeat("0123456\r\n", 20_000)
	for _, tc := range []struct {
		name   string
		dir    scan.Direction
		msg    mail
		give   scan.Result
		keys   sealer
		sealed bool
		final  byte
	}{
		{"marked", scan.Inbound, plain(), scan.Result{Verdict: verdict.Mark, Score: 7}, keys, true, 'a'},
		{"accepted", scan.Inbound, plain(), scan.Result{Score: 7}, keys, true, 'a'},
		{"longer than what is looked at", scan.Inbound, long, scan.Result{Verdict: verdict.Mark, Score: 7}, keys, true, 'a'},
		{"from the submission port without a login", scan.Outbound, plain(), scan.Result{Verdict: verdict.Mark, Score: 7}, keys, true, 'a'},
		{"refused", scan.Inbound, plain(), scan.Result{Verdict: verdict.Reject}, keys, false, 'y'},
		{"in quarantine", scan.Inbound, plain(), scan.Result{Verdict: verdict.Quarantine}, keys, false, 'd'},
		{"submitted", scan.Outbound, func() mail { m := plain(); m.User = "alice@example.org"; return m }(), scan.Result{Score: 7}, keys, false, 'a'},
		{"made here", scan.Local, plain(), scan.Result{}, keys, false, 'a'},
		{"our own", scan.Own, plain(), scan.Result{}, keys, false, 'a'},
		{"no keys yet", scan.Inbound, plain(), scan.Result{Verdict: verdict.Mark, Score: 7}, &seal.Live{}, false, 'a'},
		{"without keys", scan.Inbound, plain(), scan.Result{Verdict: verdict.Mark, Score: 7}, nil, false, 'a'},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg, s, rows := testConfig(), &seen{give: tc.give}, &verdictRows{}
			cfg.ScanBytes, cfg.SpoolMemory, cfg.SpoolDirectory = 64<<10, 32<<10, t.TempDir()
			changes, final := serve(t, cfg, Deps{Scan: s.scan, Seals: tc.keys, Verdicts: rows, Quarantine: &keeper{}}, quiet(), tc.dir).dial(t).hello().transfer(tc.msg)
			if final.Code != tc.final {
				t.Fatalf("final answer %v", final)
			}
			fields := queued(t, tc.msg, changes)
			if !tc.sealed {
				if v := value(fields, seal.Field); v != "(none)" {
					t.Errorf("sealed with %q", v)
				}
				return
			}
			if names(fields)[1] != seal.Field {
				t.Errorf("the fields are %q", names(fields))
			}
			got, err := open(t, keys, fields, tc.msg.Body)
			if err != nil || got.Verdict != tc.give.Verdict || got.Score != 7 || got.QueueID != "4ABCDEF123" || time.Since(got.Arrived) > time.Minute {
				t.Errorf("sealed %+v, %v", got, err)
			}
			if len(rows.rows) != 1 {
				t.Errorf("%d rows", len(rows.rows))
			}
		})
	}
}

// targetsOf is an account store with one alias.
func targetsOf(alias, to string) func(context.Context, mailaddr.Address, int) ([]mailaddr.Address, error) {
	return func(_ context.Context, rcpt mailaddr.Address, _ int) ([]mailaddr.Address, error) {
		if rcpt.String() != alias {
			return []mailaddr.Address{rcpt}, nil
		}
		a, err := mailaddr.Parse(to)
		return []mailaddr.Address{a}, err
	}
}

// TestSealedByRecipient: verdicts of one's own come through for mailboxes behind
// an alias too, without the rows of this host, and nobody reads who they are.
func TestSealedByRecipient(t *testing.T) {
	keys := verdictKeys(t)
	s := &seen{give: scan.Result{Verdict: verdict.Accept, Others: verdict.Mark, ByRcpt: map[string]verdict.Verdict{"list@example.org": verdict.Mark}}}
	deps := Deps{Scan: s.scan, Seals: keys, Targets: targetsOf("alice@example.org", "ann@example.org")}
	msg := plain()
	msg.Rcpt = []string{"<alice@example.org>", "<list@example.org>"}
	changes, final := serve(t, testConfig(), deps, quiet(), scan.Inbound).dial(t).hello().transfer(msg)
	if final.Code != 'a' {
		t.Fatalf("final answer %v", final)
	}
	fields := queued(t, msg, changes)
	got, err := open(t, keys, fields, msg.Body)
	if err != nil {
		t.Fatal(err)
	}
	for rcpt, want := range map[string]verdict.Verdict{"alice@example.org": verdict.Accept, "ann@example.org": verdict.Accept, "list@example.org": verdict.Mark, "bob@example.org": verdict.Mark} {
		if v := got.For(rcpt); v != want {
			t.Errorf("For(%s) = %v, want %v", rcpt, v, want)
		}
	}
	if v := value(fields, seal.Field); strings.Contains(v, "ann") || strings.Contains(v, "alice") {
		t.Errorf("recipients in %q", v)
	}
}

// TestStrangersSealIsRemoved: a good field of another message, or of this one,
// goes, however it is written, from whatever side it comes.
func TestStrangersSealIsRemoved(t *testing.T) {
	keys := verdictKeys(t)
	sum, err := seal.Read(strings.NewReader(strings.Join(plain().Header, "\r\n") + "\r\n\r\n" + plain().Body))
	if err != nil {
		t.Fatal(err)
	}
	good, err := keys.Make(seal.Row{Arrived: time.Now()}, sum)
	if err != nil {
		t.Fatal(err)
	}
	forged := []string{
		good.String(), strings.ToUpper(seal.Field) + " :" + good.Value, "x-gatepost-verdict:\n\t" + good.Value, seal.Field + "\t:\n " + strings.ReplaceAll(good.Value, " ", "\n "),
		seal.Field + ":", seal.Field + ": mark",
	}
	for _, d := range []scan.Direction{scan.Inbound, scan.Outbound, scan.Local, scan.Own} {
		s := &seen{give: scan.Result{Verdict: verdict.Mark}}
		msg := plain()
		msg.Header = slices.Concat(forged[:3], msg.Header, forged[3:])
		changes, final := serve(t, testConfig(), Deps{Scan: s.scan, Seals: keys}, quiet(), d).dial(t).hello().transfer(msg)
		if final.Code != 'a' {
			t.Fatalf("%v: final answer %v", d, final)
		}
		fields := queued(t, msg, changes)
		left := slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return !strings.HasPrefix(strings.ToLower(f), "x-gatepost") })
		inbound := d == scan.Inbound || d == scan.Outbound // nobody logged in
		if len(left) != map[bool]int{true: 1}[inbound] {
			t.Errorf("%v: left are %q", d, left)
		}
		if got, err := open(t, keys, fields, msg.Body); inbound && (err != nil || got.Verdict != verdict.Mark) {
			t.Errorf("%v: sealed %+v, %v", d, got, err)
		}
	}
}

// brokenSealer cannot seal.
type brokenSealer struct{}

func (brokenSealer) On() bool { return true }
func (brokenSealer) Make(seal.Row, seal.Sum) (header.Field, error) {
	return header.Field{}, errors.New("no random numbers left")
}

// TestSealFails: mail that is marked for anybody comes again, other mail goes on.
func TestSealFails(t *testing.T) {
	for _, tc := range []struct {
		name  string
		give  scan.Result
		final byte
	}{
		{"accepted", scan.Result{}, 'a'},
		{"marked", scan.Result{Verdict: verdict.Mark}, 'y'},
		{"marked for one", scan.Result{ByRcpt: map[string]verdict.Verdict{"alice@example.org": verdict.Mark}}, 'y'},
	} {
		var log syncBuffer
		s := &seen{give: tc.give}
		changes, final := serve(t, testConfig(), Deps{Scan: s.scan, Seals: brokenSealer{}}, slog.New(slog.NewTextHandler(&log, nil)), scan.Inbound).dial(t).hello().transfer(plain())
		if final.Code != tc.final || tc.final == 'y' && (len(changes) > 0 || !strings.HasPrefix(final.Data, "451 4.3.0 ")) {
			t.Errorf("%s: %d changes, final answer %v", tc.name, len(changes), final)
		}
		if n := strings.Count(log.String(), "delivery verdict not kept"); n != 1 {
			t.Errorf("%s: told %d times: %s", tc.name, n, log.String())
		}
	}
}
