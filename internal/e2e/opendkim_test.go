//go:build linux && e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gomilter "github.com/emersion/go-milter"
)

// openDKIM is OpenDKIM as a signer: the daemon, asked over the milter protocol.
// (opendkim-testmsg signs with rsa-sha1 only, which RFC 8301 ended.)
type openDKIM struct{ addr, domain string }

// startOpenDKIM runs the daemon for domain, whose key it puts into DNS, with
// this canonicalization.
func startOpenDKIM(t *testing.T, domain, canon string) *openDKIM {
	t.Helper()
	path, err := exec.LookPath("opendkim")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("opendkim is missing: apt-get install opendkim")
		}
		t.Skip("opendkim is missing: apt-get install opendkim")
	}
	selector := strings.NewReplacer("/", "-").Replace(canon)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	the.DNS.AddTXT(selector+"._domainkey."+domain, "v=DKIM1; k=rsa; p="+base64.StdEncoding.EncodeToString(der))
	dir := t.TempDir()
	file := filepath.Join(dir, "key.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &openDKIM{addr: freeAddr(t), domain: domain}
	host, port, _ := net.SplitHostPort(s.addr)
	conf := fmt.Sprintf("Syslog no\nMode s\nCanonicalization %s\nSignatureAlgorithm rsa-sha256\nDomain %s\nSelector %s\n"+
		"KeyFile %s\nRequireSafeKeys no\nSocket inet:%s@%s\nPidFile %s/pid\n", canon, domain, selector, file, port, host, dir)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-f", "-x", filepath.Join(dir, "conf"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := the.Until("opendkim to listen", func() error {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = c.Close()
		}
		return err
	}); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return s
}

// freeAddr returns an address of the loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// sign returns msg, whose lines end in LF, with OpenDKIM's signature on top.
func (s *openDKIM) sign(t *testing.T, msg []byte) []byte {
	t.Helper()
	client := gomilter.NewDefaultClient("tcp", s.addr)
	defer client.Close()
	c, err := client.Session()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wants := func(a *gomilter.Action, err error) {
		t.Helper()
		if err != nil || a.Code != gomilter.ActContinue && a.Code != gomilter.ActAccept {
			t.Fatalf("opendkim: %+v, %v", a, err)
		}
	}
	if err := c.Macros(gomilter.CodeConn, "j", "mail."+s.domain, "{daemon_name}", "test"); err != nil {
		t.Fatal(err)
	}
	wants(c.Conn("localhost", gomilter.FamilyInet, 4321, "127.0.0.1"))
	wants(c.Helo("localhost"))
	if err := c.Macros(gomilter.CodeMail, "i", "4TEST"); err != nil {
		t.Fatal(err)
	}
	wants(c.Mail("carol@"+s.domain, nil))
	wants(c.Rcpt("alice@example.org", nil))
	head, body, _ := bytes.Cut(msg, []byte("\n\n"))
	unfolded := strings.ReplaceAll(strings.ReplaceAll(string(head), "\n\t", "\x00\t"), "\n ", "\x00 ")
	for line := range strings.SplitSeq(unfolded, "\n") {
		name, value, _ := strings.Cut(strings.ReplaceAll(line, "\x00", "\n"), ":")
		wants(c.HeaderField(name, strings.TrimPrefix(value, " ")))
	}
	wants(c.HeaderEnd())
	mods, a, err := c.BodyReadFrom(bytes.NewReader(bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n"))))
	wants(a, err)
	for _, m := range mods {
		if strings.EqualFold(m.HeaderName, "DKIM-Signature") {
			return append([]byte("DKIM-Signature: "+strings.ReplaceAll(m.HeaderValue, "\r\n", "\n")+"\n"), msg...)
		}
	}
	t.Fatalf("opendkim did not sign: %+v, %+v", mods, a)
	return nil
}
