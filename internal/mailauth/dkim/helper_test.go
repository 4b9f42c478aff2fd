package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	library "github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// testTime is when the tests take place.
var testTime = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const testHeader = "Received: from a by b;\r\n\tFri, 20 Nov 2026 12:00:00 +0000\r\n" +
	"From: Alice <alice@example.org>\r\nTo: Bob <bob@example.net>\r\n" +
	"Subject: a  subject \r\n\twhich is folded\r\nDate: Fri, 20 Nov 2026 12:00:00 +0000\r\n" +
	"Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"

// txtZone is a DNS of TXT records; a name that stands in broken has no answer.
type txtZone struct {
	txt    map[string][]string
	broken map[string]bool
	mu     sync.Mutex
	asked  []string
}

func (z *txtZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, name)
	if z.broken[name] {
		return nil, errors.New("no answer")
	}
	return z.txt[name], nil
}

// signer is a private key with its record.
type signer struct {
	crypto.Signer
	selector string
	record   string
}

// makeKeys are made once: RSA keys are slow to make.
var makeKeys = sync.OnceValues(func() (map[string]signer, error) {
	all := make(map[string]signer)
	for name, bits := range map[string]int{"rsa": 2048, "rsa1024": 1024} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			return nil, err
		}
		all[name] = signer{k, name, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)}
	}
	pub, k, err := ed25519.GenerateKey(rand.Reader)
	all["ed25519"] = signer{k, "ed25519", "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub)}
	return all, err
})

// zone has the records of all test keys under example.org.
var zone = func() *txtZone {
	z := &txtZone{txt: map[string][]string{}}
	all, err := makeKeys()
	if err != nil {
		panic(err)
	}
	for name, k := range all {
		z.txt[name+"._domainkey.example.org"] = []string{k.record}
	}
	return z
}()

func testKey(t testing.TB, name string) signer {
	t.Helper()
	all, err := makeKeys()
	if err != nil {
		t.Fatal(err)
	}
	k, ok := all[name]
	if !ok {
		t.Fatalf("no key %s", name)
	}
	return k
}

// signed returns a message with a signature that the library made.
func signed(t testing.TB, head string, body []byte, k signer, change func(*library.SignOptions)) []byte {
	t.Helper()
	o := &library.SignOptions{
		Domain: "example.org", Selector: k.selector, Signer: k.Signer,
		HeaderCanonicalization: library.CanonicalizationRelaxed, BodyCanonicalization: library.CanonicalizationRelaxed,
	}
	if change != nil {
		change(o)
	}
	s, err := library.NewSigner(o)
	if err != nil {
		t.Fatal(err)
	}
	msg := append([]byte(head+"\r\n"), body...)
	if _, err := s.Write(msg); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return append([]byte(s.Signature()), msg...)
}

// verifyAt verifies all signatures of msg.
func verifyAt(t testing.TB, z *txtZone, msg []byte, now time.Time) []Result {
	t.Helper()
	m := NewMessage(rawmsg.Scan(msg, rawmsg.Default()))
	keys := NewKeys(z)
	defer keys.Wait()
	v := Start(context.Background(), m, keys, now)
	if err := m.ReadBody(context.Background(), bytes.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	return v.Results()
}

// sign returns k's signature of text.
func (k signer) sign(t testing.TB, text []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(text)
	var opts crypto.SignerOpts = crypto.SHA256
	if _, ed := k.Signer.(ed25519.PrivateKey); ed {
		opts = crypto.Hash(0)
	}
	sig, err := k.Sign(rand.Reader, sum[:], opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// sign returns a message with a signature over it, made from a template of
// tags: BH and B64 stand for the values. This signer is the test's own, so that
// it can make what no library makes.
func sign(t testing.TB, k signer, template, head, body string) []byte {
	t.Helper()
	build := func(bh, b string) *rawmsg.Message {
		field := "DKIM-Signature: " + strings.NewReplacer("BH", bh, "B64", b).Replace(template) + "\r\n"
		return rawmsg.Scan([]byte(field+head+"\r\n"+body), rawmsg.Default())
	}
	list, _ := parseTags(string(build("AAAA", "AAAA").Fields[0].Value))
	_, c, _ := parseCanon(list.get("c"))
	length := Whole
	if l, ok := digits(list.get("l")); ok {
		length = l
	}
	sum := hashBody([]byte(body), c, length)
	bh := base64.StdEncoding.EncodeToString(sum[:])
	raw := build(bh, "AAAA")
	sig := k.sign(t, NewMessage(raw).SignedHeader(ParseSignature(DKIM, raw, 0)))
	return build(bh, base64.StdEncoding.EncodeToString(sig)).Raw
}
