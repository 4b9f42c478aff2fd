//go:build linux

package load

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/dnstest"
)

// program is the binary, built once for all benchmarks that run.
var program struct {
	sync.Once
	dir string
	err error
}

func build() {
	if program.dir, program.err = os.MkdirTemp("", "gatepost-load"); program.err != nil {
		return
	}
	path := filepath.Join(program.dir, "gatepost")
	cmd := exec.Command("go", "build", "-o", path, "github.com/gatepost/gatepost/cmd/gatepost")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		program.err = fmt.Errorf("%w: %s", err, out)
		return
	}
	program.err = errors.Join(os.Chmod(program.dir, 0o755), os.Chmod(path, 0o755))
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir)
	}
	os.Exit(code)
}

// server is a gatepost in a process of its own.
type server struct {
	dir, exe string
	uid      int
	cmd      *exec.Cmd
}

// start starts one with more lines in its configuration, taught with mail.
func start(b *testing.B, taught []mail, more string) *server {
	b.Helper()
	if program.Do(build); program.err != nil {
		b.Fatal(program.err)
	}
	dir, err := os.MkdirTemp("", "gp") // b.TempDir is closed to others
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{dir: dir, exe: filepath.Join(program.dir, "gatepost"), uid: os.Getuid()}
	if s.uid == 0 {
		s.uid = 5000
	}
	for _, d := range []string{".", "data", "mail", "run", "queue/gatepost", "teach"} {
		path := filepath.Join(dir, d)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, 0o755), os.Chown(path, s.uid, s.gid())); err != nil {
			b.Fatal(err)
		}
	}
	text := strings.ReplaceAll(fmt.Sprintf("hostname: mx.example.org\nqueue_directory: DIR/queue\nruntime_directory: DIR/run\n"+
		"data_directory: DIR/data\nmail_root: DIR/mail\nmail_uid: %d\nmail_gid: %d\n", s.uid, s.gid()), "DIR", dir) + more
	if err := os.WriteFile(filepath.Join(dir, "gatepost.yaml"), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	s.teach(b, taught)
	s.serve(b)
	return s
}

func (s *server) gid() int {
	if os.Getuid() != 0 {
		return os.Getgid()
	}
	return s.uid
}

// command is gatepost as the mail user.
func (s *server) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.exe, append([]string{"--config", filepath.Join(s.dir, "gatepost.yaml")}, args...)...)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.uid)}}
	}
	return cmd
}

// teach lets the filter learn mail, and a domain be ours.
func (s *server) teach(b *testing.B, taught []mail) {
	for i, m := range taught {
		dir := filepath.Join(s.dir, "teach", map[bool]string{true: "spam", false: "ham"}[m.spam])
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), m.raw, 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	calls := [][]string{{"domain", "add", "example.org"}}
	if len(taught) > 0 {
		calls = append(calls, []string{"learn", "spam", filepath.Join(s.dir, "teach/spam")}, []string{"learn", "ham", filepath.Join(s.dir, "teach/ham")})
	}
	for _, args := range calls {
		if out, err := s.command(args...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %v: %s", args, err, out)
		}
	}
}

// serve starts it and waits for its socket.
func (s *server) serve(b *testing.B) {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	s.cmd = s.command("serve")
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(s.cmd.Process.Signal(syscall.SIGTERM), s.cmd.Wait(), log.Close()); err != nil {
			b.Error(err)
		}
	})
	for range 500 {
		if c, err := net.Dial("unix", s.socket()); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	out, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	b.Fatalf("no answer on %s\n%s", s.socket(), out)
}

func (s *server) socket() string { return filepath.Join(s.dir, "queue/gatepost/milter") }

// cpu is what the process used up to now.
func (s *server) cpu(b *testing.B) time.Duration {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	// proc(5): the name, in brackets, may have anything in it; utime is the 12th
	// field behind it, in ticks, of which Linux shows a hundred a second.
	f := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	user, err1 := strconv.Atoi(string(f[11]))
	system, err2 := strconv.Atoi(string(f[12]))
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * (time.Second / 100)
}

// peak is the most memory that the process had, in MB.
func (s *server) peak(b *testing.B) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(v), " kB"))
			if err != nil {
				b.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	b.Fatal("no VmHWM")
	return 0
}

// domains is how many senders the zone has.
const domains = 64

// listZones are the DNS lists that are asked, each about every domain of a link.
const listZones = 4

// names is a DNS server with senders that pass everything, and lists with
// nothing on them but their tests; each answer takes delay. sign signs for a
// sender.
func names(b *testing.B, delay time.Duration) (addr string, sign func(raw []byte, domain string) []byte, zone *dnstest.Zone) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	zone = dnstest.NewZone()
	zone.MustAdd("mail.d1.example. IN A 8.8.8.8\nmail.d1.example. IN TXT \"v=spf1 a -all\"\nspf.example. IN TXT \"v=spf1 ip4:198.51.100.0/24 ip4:8.8.8.0/24 ~all\"")
	for i := range domains {
		zone.MustAdd(fmt.Sprintf("%[1]s. IN TXT \"v=spf1 include:spf.example -all\"\n_dmarc.%[1]s. IN TXT \"v=DMARC1; p=reject\"", domain(i)))
		zone.AddTXT("s1._domainkey."+domain(i), "v=DKIM1; p="+base64.StdEncoding.EncodeToString(der))
	}
	for i := range listZones {
		zone.MustAdd(fmt.Sprintf("test.l%[1]d.net. IN A 127.0.0.2\n2.0.0.127.l%[1]d.net. IN A 127.0.0.2", i))
	}
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = srv.Close() })
	addr = srv.Addr()
	if delay > 0 {
		addr = slow(b, addr, delay)
	}
	return addr, func(raw []byte, domain string) []byte {
		var out bytes.Buffer
		if err := dkim.Sign(&out, bytes.NewReader(raw), &dkim.SignOptions{
			Domain: domain, Selector: "s1", Signer: key, HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"},
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		}); err != nil {
			b.Fatal(err)
		}
		return out.Bytes()
	}, zone
}

// slow passes datagrams on to the server at addr, each after delay.
func slow(b *testing.B, addr string, delay time.Duration) string {
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	b.Cleanup(func() { _ = front.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			q := make([]byte, 4096)
			n, from, err := front.ReadFrom(q)
			if err != nil {
				return
			}
			wg.Go(func() {
				time.Sleep(delay)
				back, err := net.Dial("udp", addr)
				if err != nil {
					return
				}
				defer back.Close()
				_ = back.SetDeadline(time.Now().Add(time.Second))
				a := make([]byte, 4096)
				if _, err := back.Write(q[:n]); err == nil {
					if n, err := back.Read(a); err == nil {
						_, _ = front.WriteTo(a[:n], from)
					}
				}
			})
		}
	})
	return front.LocalAddr().String()
}

// settings are the lines of a configuration that asks addr, with lists or
// without.
func settings(addr string, lists bool) string {
	s := "resolver: {servers: [\"" + addr + "\"]}\n"
	if !lists {
		return s
	}
	s += "dns_lists:\n  lists:\n"
	for i := range listZones {
		s += fmt.Sprintf("    - {name: L%[1]d, zone: l%[1]d.net, of: [uri], test_listed: test, test_not_listed: invalid, codes: [{answer: 127.0.0.2, name: SPAM, score: 3, text: listed}]}\n", i)
	}
	return s
}
