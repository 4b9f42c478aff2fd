package keys

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	own "github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

const plain = "Received: from x\r\nFrom: Alice <alice@example.org>\r\nTo: bob@example.net,\r\n\tcarol@example.net\r\nSubject:  Hello   there \r\n" +
	"Date: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nX-Other: y\r\n\r\n"

// samples are messages of the shapes that signers get wrong.
var samples = []struct{ name, msg string }{
	{"plain", plain + "Hello,\r\n\r\nhow are you?\r\n"},
	{"empty body", plain},
	{"only empty lines", plain + "\r\n\r\n\r\n"},
	{"blank lines at the end", plain + "text \t \r\n \r\n\r\n\r\n"},
	{"no line end", plain + "text"},
	{"8-bit", plain + "Grüße, \xff\xfe\r\n"},
	{"long line", plain + strings.Repeat("0123456789", 5000) + "\r\n"},
	{"dots", plain + ".\r\n..\r\n.text\r\n"},
	{"runs of blanks", plain + "a    b\t\tc \t d\r\n\t\r\n  e\r\n"},
	{"list", strings.Replace(plain, "\r\n\r\n", "\r\nList-Id: <l.example.org>\r\nList-Unsubscribe: <mailto:u@example.org>\r\nList-Post: <mailto:l@example.org>\r\nSender: l-bounces@example.org\r\n\r\n", 1) + "text\r\n"},
	{"From twice", "From: a@example.org\r\n" + plain + "text\r\n"},
	{"only From", "From: a@example.org\r\n\r\ntext\r\n"},
	{"folded and odd names", "FROM : a@example.org\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nsubject:\r\n a\r\n\t b\r\nTo:\r\n c@example.net\r\nReferences: <a@b>\r\n <c@d>\r\n\r\ntext\r\n"},
	{"large", plain + strings.Repeat("a line of  text\r\n", 20<<10)},
	{"other fields between", "Received: a\r\nReceived: b\r\nX-Empty:\r\nSubject: one\r\n" + plain + "text\r\n"},
	{"more of a name than are signed", strings.Repeat("To: a@example.net\r\n", maxSame+2) + plain + "text\r\n"},
	{"no blank line", "From: a@example.org\r\nSubject: x\r\n"},
}

// insert puts values into msg as Postfix does: with one blank, LF as CRLF.
func insert(msg string, values []string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(FieldName + ": " + strings.ReplaceAll(v, "\n", "\r\n") + "\r\n")
	}
	b.WriteString(msg)
	if !strings.Contains(msg, "\r\n\r\n") {
		b.WriteString("\r\n")
	}
	return b.String()
}

// verify returns what go-msgauth says of each signature: "ok" or its error.
func verify(t testing.TB, ks []Key, msg string) string {
	t.Helper()
	records := make(map[string]string)
	for _, k := range ks {
		records[k.Name()] = k.Record()
	}
	vs, err := dkim.VerifyWithOptions(strings.NewReader(msg), &dkim.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return []string{records[name]}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range vs {
		if v.Err != nil {
			out = append(out, v.Err.Error())
		} else {
			out = append(out, "ok")
		}
	}
	return strings.Join(out, ", ")
}

// verifyOwn returns what our own verifier says of each signature.
func verifyOwn(t testing.TB, ks []Key, msg string) string {
	t.Helper()
	z := make(zone)
	for _, k := range ks {
		z[k.Name()] = k.Record()
	}
	m := own.NewMessage(rawmsg.Scan([]byte(msg), rawmsg.Default()))
	found := own.NewKeys(z)
	defer found.Wait()
	v := own.Start(t.Context(), m, found, time.Now())
	if err := m.ReadBody(t.Context(), strings.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range v.Results() {
		if r.Result != authres.Pass {
			out = append(out, r.Reason)
		} else {
			out = append(out, "ok")
		}
	}
	return strings.Join(out, ", ")
}

// zone has one TXT record for a name.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	return []string{z[name]}, nil
}

// flip changes one letter of the body.
func flip(msg string) string {
	head, body, _ := strings.Cut(msg, "\r\n\r\n")
	if body == "" {
		return msg + "x"
	}
	return head + "\r\n\r\n" + "#" + body[1:]
}

func TestSign(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "example.org", "e", Ed25519)
	create(t, s, "example.org", "r", RSA)
	ks := s.Active("example.org")
	for _, tc := range samples {
		t.Run(tc.name, func(t *testing.T) {
			values, err := Sign(ks, strings.NewReader(tc.msg))
			if err != nil || len(values) != 2 {
				t.Fatalf("Sign = %q, %v", values, err)
			}
			if !strings.Contains(values[0], "a=rsa-sha256;") || !strings.Contains(values[1], "a=ed25519-sha256;") {
				t.Errorf("not RSA first: %q", values)
			}
			for _, v := range values {
				checkValue(t, v)
			}
			signed := insert(tc.msg, values)
			if got := verify(t, ks, signed); got != "ok, ok" {
				t.Errorf("verify = %s for\n%s", got, signed)
			}
			for _, m := range []string{signed, strings.ReplaceAll(signed, "\r\n", "\n")} {
				if got := verifyOwn(t, ks, m); got != "ok, ok" {
					t.Errorf("our verifier says %s for\n%.2000s", got, m)
				}
			}
			if got := verify(t, ks, strings.Replace(signed, FieldName+": ", FieldName+":", 1)); got != "ok, ok" {
				t.Errorf("without the blank, verify = %s", got)
			}
			if got := verify(t, ks, flip(signed)); strings.Contains(got, "ok") {
				t.Errorf("one changed letter, verify = %s", got)
			}
			bare, err := Sign(ks, strings.NewReader(strings.ReplaceAll(tc.msg, "\r\n", "\n")))
			if err != nil || verify(t, ks, insert(tc.msg, bare)) != "ok, ok" {
				t.Errorf("signed with bare LF: %v, %s", err, verify(t, ks, insert(tc.msg, bare)))
			}
			slow, err := Sign(ks, iotest.OneByteReader(strings.NewReader(tc.msg)))
			if err != nil || verify(t, ks, insert(tc.msg, slow)) != "ok, ok" {
				t.Errorf("signed octet by octet: %v", err)
			}
		})
	}
}

// checkValue looks at the form of a value.
func checkValue(t *testing.T, v string) {
	t.Helper()
	if strings.ContainsAny(v, "\r\x00") || strings.TrimSpace(v) != v || strings.Contains(v, "l=") {
		t.Errorf("value %q", v)
	}
	for i, line := range strings.Split(v, "\n") {
		if i > 0 && line[0] != ' ' && line[0] != '\t' {
			t.Errorf("line %q is no continuation", line)
		}
		if len(line) > 78-len(FieldName)-2 && i == 0 || len(line) > 70 {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
}

func TestOversigned(t *testing.T) {
	s := open(t, t.TempDir())
	ks := []Key{create(t, s, "example.org", "e", Ed25519)}
	msg := plain + "text\r\n"
	values, err := Sign(ks, strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	want := Names(func(name string) int { return strings.Count("\n"+msg, "\n"+name+":") })
	_, h, _ := strings.Cut(strings.NewReplacer("\n", "", "\t", "").Replace(values[0]), " h=")
	if h, _, _ = strings.Cut(h, ";"); h != strings.Join(want, ":") {
		t.Errorf("h=%s, Names = %q", h, want)
	}
	signed := insert(msg, values)
	for _, name := range []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version",
		"Content-Type", "Content-Transfer-Encoding", "In-Reply-To", "References"} {
		for _, forged := range []string{name + ": forged\r\n" + signed, strings.Replace(signed, "X-Other", strings.ToLower(name)+": forged\r\nX-Other", 1)} {
			if got := verify(t, ks, forged); got == "ok" {
				t.Errorf("a second %s verifies", name)
			}
		}
	}
	for _, name := range []string{"Received", "X-Spam", "List-Id", "Sender", "Return-Path", "Authentication-Results"} {
		if got := verify(t, ks, name+": added\r\n"+signed); got != "ok" {
			t.Errorf("with %s added: %s", name, got)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	s := open(t, t.TempDir())
	ks := []Key{create(t, s, "example.org", "e", Ed25519), create(t, s, "example.org", "r", RSA)}
	broken := errors.New("disk on fire")
	for _, tc := range []struct {
		name string
		msg  io.Reader
		want error
	}{
		{"no From", strings.NewReader("To: a@example.org\r\nX-From: a\r\n\r\nFrom: a\r\n"), ErrNoFrom},
		{"empty", strings.NewReader(""), ErrNoFrom},
		{"header without end", io.LimitReader(zeros{}, 100<<20), ErrHeader},
		{"header of many lines", strings.NewReader("From: a@example.org\r\n" + strings.Repeat("X: y\r\n", maxHeader/6)), ErrHeader},
		{"reader fails in the header", io.MultiReader(strings.NewReader("From: a@example.org\r\n"), iotest.ErrReader(broken)), broken},
		{"reader fails in the body", io.MultiReader(strings.NewReader(plain+"text"), iotest.ErrReader(broken)), broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			values, err := Sign(ks, tc.msg)
			if !errors.Is(err, tc.want) || values != nil {
				t.Errorf("Sign = %q, %v, want %v", values, err, tc.want)
			}
			if tc.want == broken && mailerr.ClassOf(err) != mailerr.Transient {
				t.Errorf("%v is not transient", err)
			}
		})
	}
	if v, err := Sign(nil, strings.NewReader("")); v != nil || err != nil {
		t.Errorf("Sign without keys = %q, %v", v, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestSignHashesOnce counts what is read and what is hashed: the body once for
// all keys.
func TestSignHashesOnce(t *testing.T) {
	s := open(t, t.TempDir())
	ks := []Key{create(t, s, "example.org", "e", Ed25519), create(t, s, "example.org", "r", RSA)}
	body := strings.Repeat("0123456789\r\n", 1<<16)
	r := &counter{r: strings.NewReader(plain + body)}
	h := &countHash{Hash: sha256.New()}
	values, err := sign(h, ks, r, 0)
	if err != nil || r.n != len(plain+body) || h.n != len(body) || h.sums != 1 {
		t.Errorf("of %d octets %d were read, of %d in the body %d hashed, %d sums, %v", len(plain+body), r.n, len(body), h.n, h.sums, err)
	}
	if got := verify(t, ks, insert(plain+body, values)); got != "ok, ok" {
		t.Errorf("verify = %s", got)
	}
}

// countHash counts what is hashed, and how often the hash is taken.
type countHash struct {
	hash.Hash
	n, sums int
}

func (c *countHash) Write(p []byte) (int, error) {
	c.n += len(p)
	return c.Hash.Write(p)
}

func (c *countHash) Sum(b []byte) []byte {
	c.sums++
	return c.Hash.Sum(b)
}

// TestSignLongNames: a name that is longer than a line has one to itself.
func TestSignLongNames(t *testing.T) {
	s := open(t, t.TempDir())
	domain := strings.Repeat(strings.Repeat("d", 56)+".", 3) + "example"
	ks := []Key{create(t, s, domain, strings.Repeat("s", 40), Ed25519)}
	values, err := Sign(ks, strings.NewReader(plain+"text\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(values[0], "\n\td="+domain+";\n\ts=") {
		t.Errorf("value %q", values[0])
	}
	signed := insert(plain+"text\r\n", values)
	if a, b := verify(t, ks, signed), verifyOwn(t, ks, signed); a != "ok" || b != "ok" {
		t.Errorf("verify = %s, our verifier says %s", a, b)
	}
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func FuzzSign(f *testing.F) {
	s := open(f, f.TempDir())
	ks := []Key{create(f, s, "example.org", "e", Ed25519)}
	for _, tc := range samples {
		f.Add([]byte(tc.msg))
	}
	f.Add([]byte("From:a\r\nFrom :b\r\nfrom:c\n\tTo: x\r\nTo: y\r\n\r\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		values, err := Sign(ks, bytes.NewReader(msg))
		if err != nil {
			return
		}
		for _, v := range values {
			checkValue(t, v)
		}
		// A verifier may take other lines than we for fields: it gets those
		// that are signed, and the body.
		r := bufio.NewReaderSize(bytes.NewReader(msg), 64<<10)
		fs, err := readHeader(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r)
		head := ""
		for _, f := range slices.Concat(fs...) {
			head += strings.TrimRight(string(f), "\r\n") + "\r\n"
		}
		signed := insert(head+"\r\n", values) + string(body)
		if got := verifyOwn(t, ks, signed); got != "ok" {
			t.Errorf("our verifier says %s", got)
		}
		if bytes.Contains(bytes.ReplaceAll(body, []byte("\r\n"), nil), []byte("\r")) {
			return // go-msgauth takes a bare CR for a line end
		}
		if got := verify(t, ks, signed); got != "ok" {
			t.Errorf("verify = %s", got)
		}
	})
}

// missing skips a test, or fails it under CI, for want of what.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("%s is not installed", what)
}

// dkimpy verifies the messages on stdin with the records there, and prints one
// line for each: the outcome of its two signatures.
const dkimpy = `
import base64, dkim, json, sys
given = json.load(sys.stdin)
lookup = lambda name, timeout=5: given['Records'].get(name.decode().rstrip('.'), '').encode()
def verify(message, i):
    try:
        return 'ok' if dkim.DKIM(message).verify(i, dnsfunc=lookup) else 'bad'
    except dkim.ValidationError:
        return 'bad'
for m in given['Messages']:
    print(', '.join(verify(base64.b64decode(m), i) for i in range(2)))
`

func TestDkimpyVerifies(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import dkim, nacl").Run(); err != nil {
		missing(t, "python3-dkim")
	}
	s := open(t, t.TempDir())
	create(t, s, "example.org", "e", Ed25519)
	create(t, s, "example.org", "r", RSA)
	ks := s.Active("example.org")
	given := struct {
		Records  map[string]string
		Messages [][]byte
	}{Records: make(map[string]string)}
	for _, k := range ks {
		given.Records[k.Name()] = k.Record()
	}
	var names, want []string
	// A bare CR is text to dkimpy, as it is to us; not so to the others.
	bare := samples[0]
	bare.name, bare.msg = "bare CR", plain+"a \rb\r\rc\r\n\r\r\n"
	for _, tc := range append(slices.Clip(samples), bare) {
		if strings.Contains(tc.msg, "FROM :") {
			continue // dkimpy refuses blanks before the colon
		}
		values, err := Sign(ks, strings.NewReader(tc.msg))
		if err != nil {
			t.Fatal(err)
		}
		signed := insert(tc.msg, values)
		given.Messages = append(given.Messages, []byte(signed), []byte(flip(signed)))
		names, want = append(names, tc.name, tc.name+", changed"), append(want, "ok, ok", "bad, bad")
	}
	in, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", dkimpy)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != len(want) {
		t.Fatalf("dkimpy: %v\n%s", err, out)
	}
	for i, got := range lines {
		if got != want[i] {
			t.Errorf("%s: dkimpy says %s, want %s for\n%.2000s", names[i], got, want[i], given.Messages[i])
		}
	}
}

// inNamespace names the variable that tells a copy of the test binary that it
// runs in a network of its own.
const inNamespace = "GATEPOST_TEST_NAMESPACE"

// TestOpenDKIMVerifies asks opendkim-testmsg, which takes keys from the
// system's resolver only: so it runs in a network and mount namespace with a
// resolv.conf and a server of its own.
func TestOpenDKIMVerifies(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		openDKIM(t)
		return
	}
	for _, tool := range []string{"opendkim-testmsg", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, tool)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOpenDKIMVerifies$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		missing(t, "the right to make a user namespace")
	}
	if err != nil {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
}

// openDKIM is the test inside of the namespace.
func openDKIM(t *testing.T) {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	conf := t.TempDir() + "/resolv.conf"
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(conf, "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	zone := dnstest.NewZone()
	srv, err := dnstest.Start("127.0.0.1:53", zone)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	s := open(t, t.TempDir())
	for _, alg := range []Algorithm{RSA, Ed25519} {
		k := create(t, s, "example.org", string(alg), alg)
		zone.MustAdd(k.Zone())
		for _, tc := range samples {
			values, err := Sign([]Key{k}, strings.NewReader(tc.msg))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(tc.msg, "From:") != 1 && !strings.Contains(tc.msg, "FROM") || !strings.Contains(tc.msg, "Date:") ||
				strings.Count(tc.msg, "\nTo:") > 1 || strings.Count(tc.msg, "Subject:") > 1 {
				continue // RFC 5322 §3.6: OpenDKIM does not look at such a message
			}
			signed := insert(tc.msg, values)
			if out, err := testmsg(signed); err != nil {
				t.Errorf("%s, %s: opendkim-testmsg says %v: %s\n%.2000s", alg, tc.name, err, out, signed)
			}
			if out, err := testmsg(flip(signed)); err == nil {
				t.Errorf("%s, %s: opendkim-testmsg takes a changed body: %s", alg, tc.name, out)
			}
		}
	}
}

func testmsg(msg string) (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, "opendkim-testmsg")
	cmd.Stdin = strings.NewReader(msg)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// BenchmarkSign is a 4 KB message with RSA-2048, to be held against
// BenchmarkRSA: nothing can be faster than that.
func BenchmarkSign(b *testing.B) {
	s := open(b, b.TempDir())
	r, e := create(b, s, "example.org", "r", RSA), create(b, s, "example.org", "e", Ed25519)
	for _, size := range []int{4 << 10, 36 << 10, 200 << 10} {
		msg := plain + strings.Repeat("0123456789 0123456789 0123456789 0123456789\r\n", size/45)
		for _, ks := range [][]Key{{r}, {e}, {r, e}} {
			b.Run(fmt.Sprintf("%dKB/%d-%s", size>>10, len(ks), ks[0].Algorithm), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Sign(ks, strings.NewReader(msg)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkRSA is the bare private operation.
func BenchmarkRSA(b *testing.B) {
	s := open(b, b.TempDir())
	k := create(b, s, "example.org", "r", RSA).signer().(*rsa.PrivateKey)
	sum := sha256.Sum256([]byte("x"))
	for b.Loop() {
		if _, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:]); err != nil {
			b.Fatal(err)
		}
	}
}
