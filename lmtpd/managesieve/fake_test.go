package managesieve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/script"
)

// fakeAuth is an auth server with one user. It speaks as authd does on the
// socket of clients.
type fakeAuth struct {
	t *testing.T
	// answers are the lines for a password, with %d for the id.
	answers map[string]string
	away    bool

	mu   sync.Mutex
	seen []string // AUTH lines without resp; guarded by mu
}

func newFakeAuth(t *testing.T) *fakeAuth {
	return &fakeAuth{t: t, answers: map[string]string{
		"right":     "OK\t%d\tuser=alice@example.org",
		"wrong":     "FAIL\t%d\tuser=alice@example.org",
		"banned":    "FAIL\t%d\tuser=alice@example.org\treason=logins from your network are refused until 12:00 UTC (ban 7)",
		"dovecot":   "OK\t%d\tuser=alice@example.org\tnologin\treason=closed for\x01nrepair",
		"temporary": "FAIL\t%d\ttemp\tcode=temp_fail",
		"nobody":    "OK\t%d\tuser=root",
		"gone":      "",
	}}
}

func (f *fakeAuth) dial(context.Context) (net.Conn, error) {
	if f.away {
		return nil, errors.New("no such socket")
	}
	ours, theirs := net.Pipe()
	go f.serve(theirs)
	return ours, nil
}

func (f *fakeAuth) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	for _, want := range []string{"VERSION\t1\t", "CPID\t"} {
		if !in.Scan() || !strings.HasPrefix(in.Text(), want) {
			f.t.Errorf("auth server heard %q, want %q", in.Text(), want)
			return
		}
	}
	fmt.Fprint(c, "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tSCRAM-SHA-256\tmutual-auth\nMECH\tEXTERNAL\nMECH\tSECRET\tprivate\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n")
	var resp string
	for in.Scan() {
		line := strings.Split(in.Text(), "\t")
		switch line[0] {
		case "AUTH":
			head, data, has := strings.Cut(in.Text(), "\tresp=")
			f.mu.Lock()
			f.seen = append(f.seen, head)
			f.mu.Unlock()
			resp = data
			if line[2] == "SCRAM-SHA-256" {
				fmt.Fprint(c, "CONT\t1\tc2VydmVyLWZpcnN0\n")
				continue
			}
			if !has {
				fmt.Fprint(c, "CONT\t1\t\n")
				continue
			}
		case "CONT":
			resp = line[2]
			if resp == "Y2xpZW50LWZpbmFs" {
				fmt.Fprint(c, "OK\t1\tuser=alice@example.org\tresp=c2VydmVyLWZpbmFs\n")
				continue
			}
		}
		if !f.finish(c, resp) {
			return
		}
	}
}

// finish answers a PLAIN message.
func (f *fakeAuth) finish(c net.Conn, resp string) bool {
	plain, err := base64.StdEncoding.DecodeString(resp)
	if err != nil {
		fmt.Fprint(c, "FAIL\t1\tcode=invalid_base64\treason=Invalid base64 data in initial response\n")
		return true
	}
	answer := f.answers[string(plain[bytes.LastIndexByte(plain, 0)+1:])]
	if answer == "" {
		return false
	}
	fmt.Fprintf(c, answer+"\n", 1)
	return true
}

// plain is a PLAIN message of the user.
func plain(password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00alice@example.org\x00" + password))
}

// records is a journal and a meter.
type records struct {
	mu   sync.Mutex
	list []journal.Record // guarded by mu
	told map[string]int   // guarded by mu
	open int              // guarded by mu
}

func (r *records) Record(rec journal.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec)
}

func (r *records) Request(_, verdict string, _ time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == nil {
		r.told = map[string]int{}
	}
	r.told[verdict]++
}

func (r *records) Sessions(_ string, delta int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open += delta
}

// house is a server over a mail root of its own.
type house struct {
	srv    *Server
	auth   *fakeAuth
	rec    *records
	store  *script.Store
	root   string
	logged *logBuffer
	cfg    Config
	pool   tlsPool
}

func newHouse(t *testing.T, change func(*Config)) *house {
	t.Helper()
	h := &house{auth: newFakeAuth(t), rec: &records{}, root: t.TempDir(), logged: &logBuffer{}, cfg: Default()}
	h.cfg.Listen, h.cfg.Hostname = "127.0.0.1:4190", "mx.example.org"
	h.cfg.Extensions, h.cfg.NotifyMethods, h.cfg.MaxRedirects = []string{"fileinto", "include"}, []string{"mailto"}, 4
	h.cfg.SSLCert, h.cfg.SSLKey = filepath.Join(h.root, "cert.pem"), filepath.Join(h.root, "key.pem")
	h.pool = newCertificate(t, h.cfg.SSLCert, h.cfg.SSLKey)
	h.cfg.QuotaMaxScripts = 3
	if change != nil {
		change(&h.cfg)
	}
	h.store = script.New(script.Config{Root: h.root, MaxBytes: int64(h.cfg.MaxScriptSize), MaxScripts: h.cfg.QuotaMaxScripts})
	var err error
	h.srv, err = New(h.cfg, Deps{Scripts: h.store, Check: (&script.Checker{Store: h.store}).Check, Journal: h.rec, Meter: h.rec, Dial: h.auth.dial},
		slog.New(slog.NewTextHandler(h.logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
