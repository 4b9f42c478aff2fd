package keys

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/resolver"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t testing.TB, s *Store, domain, selector string, alg Algorithm) Key {
	t.Helper()
	k, err := s.Create(domain, selector, alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func names(ks []Key) string {
	var out []string
	for _, k := range ks {
		out = append(out, k.Name())
	}
	return strings.Join(out, " ")
}

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dkim")
	s := open(t, dir)
	e := create(t, s, "Example.ORG.", "", Ed25519)
	r := create(t, s, "example.org", "", RSA)
	e2 := create(t, s, "example.org", "", Ed25519)
	other := create(t, s, "müller.example", "Sel-1.part", Ed25519)

	month := time.Now().UTC().Format("200601")
	if e.Selector != "gp"+month+"e" || r.Selector != "gp"+month+"r" || e2.Selector != e.Selector+"2" {
		t.Errorf("default selectors are %s, %s, %s", e.Selector, r.Selector, e2.Selector)
	}
	if other.Name() != "sel-1.part._domainkey.xn--mller-kva.example" {
		t.Errorf("Name() = %s", other.Name())
	}
	want := names([]Key{r, e, e2})
	if got := names(s.Active("EXAMPLE.org")); got != want {
		t.Errorf("Active = %s, want %s", got, want)
	}
	if got := names(s.Active("sub.example.org")); got != "" {
		t.Errorf("Active of a subdomain = %s", got)
	}
	if got := names(s.Active("müller.example")); got != other.Name() {
		t.Errorf("Active of a U-label = %s", got)
	}
	if _, err := s.Create("example.org", e.Selector, Ed25519); !errors.Is(err, ErrExists) {
		t.Errorf("Create of a key that exists = %v", err)
	}
	if _, err := s.Create("example.org", "x", "dsa"); err == nil {
		t.Error("Create makes a key of kind dsa")
	}
	create(t, s, "example.org", "x", Ed25519)
	if _, err := s.Create("example.org", "y", Ed25519); err == nil {
		t.Error("Create makes more keys than Open takes")
	}
	for path, mode := range map[string]fs.FileMode{
		dir: 0o700, filepath.Dir(e.Path): 0o700, e.Path: 0o600, r.Path: 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, %v, want %v", path, info.Mode().Perm(), err, mode)
		}
	}
	if got := names(open(t, dir).List()); got != names(s.List()) {
		t.Errorf("opened again: %s, want %s", got, names(s.List()))
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", ".new-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	s := open(t, t.TempDir())
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 8 {
		wg.Go(func() {
			// A store of its own each: as two processes would.
			_, err := open(t, s.dir).Create("example.org", "one", Ed25519)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("%d keys of one name were made", made)
	}
}

func TestBadNames(t *testing.T) {
	s := open(t, t.TempDir())
	for _, d := range []string{"", ".", "..", "../evil.example", "a/b.example", "/etc.example", ".example.org", "a..example", "example",
		"a b.example", "a\x00.example", "-a.example", "a-.example", "a\n.example", strings.Repeat("a", 64) + ".example",
		strings.Repeat("a.", 100) + "example", "ex(ample.org", "\xff.example", "‥/x.example"} {
		if _, err := s.Create(d, "sel", Ed25519); err == nil {
			t.Errorf("Create takes the domain %q", d)
		}
		if s.Active(d) != nil {
			t.Errorf("Active(%q) has keys", d)
		}
	}
	for _, sel := range []string{".", "..", "../x", "a/b", ".a", "a.", "a b", "a\x00", "-a", "é", strings.Repeat("a", 61)} {
		if _, err := s.Create("example.org", sel, Ed25519); err == nil {
			t.Errorf("Create takes the selector %q", sel)
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// pemOf writes a private key in PKCS #8.
func pemOf(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestOpenTellsEveryFault(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	good := create(t, s, "example.org", "good", Ed25519)
	text, err := os.ReadFile(good.Path)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, mode fs.FileMode, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wide := put("example.org/wide.pem", 0o640, text)
	world := put("example.net/world.pem", 0o604, text)
	put("example.net/README", 0o644, []byte("not a key"))
	put("example.net/.new-1", 0o600, []byte("left by a crash"))
	for name, text := range map[string][]byte{
		"ec": pemOf(t, ec), "empty": nil, "garbage": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"twice": append(pemOf(t, ed), pemOf(t, ed)...), "public": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
		"huge": bytes.Repeat([]byte("\n"), maxFile+1),
	} {
		put("bad.example/"+name+".pem", 0o600, text)
	}
	put("UP.example/a.pem", 0o600, text)
	put("with space/a.pem", 0o600, text)
	put("example.org/UP.pem", 0o600, text)
	put("plainfile", 0o600, text)
	if err := os.Mkdir(filepath.Join(dir, "example.net", "dir.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open.example")
	if err := os.Mkdir(open, 0o770); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o770); err != nil {
		t.Fatal(err)
	}

	err = s.Reload()
	if err == nil {
		t.Fatal("Reload takes a directory full of faults")
	}
	for _, want := range []string{
		wide + ": mode 0640 lets others at a private key (mend it with: chmod 0600 " + wide + ")",
		world + ": mode 0604 lets others at a private key (mend it with: chmod 0600 " + world + ")",
		"bad.example/ec.pem: not a PEM file", "bad.example/empty.pem: not a PEM file", "bad.example/garbage.pem: not a PEM file",
		"bad.example/twice.pem: not a PEM file", "bad.example/public.pem: not a PEM file", "bad.example/huge.pem: not a PEM file",
		"UP.example: domain is not in lower case (mend it with: mv ",
		"with space: not the name of a domain", "example.org/UP.pem: not the name of a selector", "plainfile: not the name of a domain",
		"dir.pem: not a regular file",
		open + ": mode 0770 lets others put keys here (mend it with: chmod 0700 " + open + ")",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Reload lacks %q in\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 14 {
		t.Errorf("%d faults, want 14:\n%v", n, err)
	}
	if got := names(s.List()); got != good.Name() {
		t.Errorf("after a bad Reload: %s, want the keys from before", got)
	}
	if _, err := Open(dir, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("Open takes a directory full of faults")
	}
}

func TestReload(t *testing.T) {
	s := open(t, t.TempDir())
	k := create(t, s, "example.org", "a", Ed25519)
	create(t, s, "example.org", "b", Ed25519)
	if err := os.Remove(k.Path); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil || names(s.List()) != "b._domainkey.example.org" {
		t.Errorf("Reload = %v with %s", err, names(s.List()))
	}
}

func TestReadsKeysOfOthers(t *testing.T) {
	dir := t.TempDir()
	priv, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(priv)})
	path := filepath.Join(dir, "example.org", "mail.pem")
	if err := os.Mkdir(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o400); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := Open(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if k := s.Active("example.org"); len(k) != 1 || k[0].Bits != 1024 || k[0].Algorithm != RSA {
		t.Errorf("Active = %v", k)
	}
	if !strings.Contains(log.String(), "dkim key is short") {
		t.Errorf("no word about a short key in %q", log.String())
	}
}

func TestPublished(t *testing.T) {
	s := open(t, t.TempDir())
	zone := dnstest.NewZone()
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	cfg := resolver.Default()
	cfg.Servers, cfg.CacheSize = []string{srv.Addr()}, 0
	res, err := resolver.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r, e := create(t, s, "example.org", "r", RSA), create(t, s, "example.org", "e", Ed25519)
	test := func(k Key, problem string) Report {
		t.Helper()
		got, err := Test(context.Background(), res, k)
		if err != nil || got.OK != (problem == "") || !strings.Contains(got.Problem, problem) {
			t.Errorf("Test(%s) = %+v, %v, want %q", k.Name(), got, err, problem)
		}
		return got
	}
	for _, k := range []Key{r, e} {
		test(k, "no TXT record")
		for line := range strings.SplitSeq(k.Zone(), `"`) {
			if len(line) > maxString {
				t.Errorf("a string of %d octets in %s", len(line), k.Zone())
			}
		}
		if strings.Count(k.Zone(), "\n") != 1 || strings.Join(k.Strings(), "") != k.Record() {
			t.Errorf("Zone() = %q", k.Zone())
		}
		zone.MustAdd(k.Zone())
		if rep := test(k, ""); len(rep.Records) != 1 || rep.Records[0] != k.Record() {
			t.Errorf("published as %q, want %q", rep.Records, k.Record())
		}
	}
	set := func(k Key, record string) Key {
		zone.Remove(k.Name())
		zone.AddTXT(k.Name(), record)
		return k
	}
	test(set(e, strings.Replace(e.Record(), "; p=", " ; t=y;\tp = ", 1)+" ;"), "")
	if rep := test(e, ""); !strings.Contains(rep.Note, "t=y") {
		t.Errorf("no note about t=y: %+v", rep)
	}
	test(set(e, r.Record()), "k=rsa")
	test(set(r, e.Record()), "k=ed25519")
	test(set(r, create(t, s, "example.net", "r", RSA).Record()), "another private key")
	test(set(r, r.Record()[:200]), "a part of the record may be missing")
	test(set(r, "v=DKIM1; k=rsa; p="), "revoked")
	test(set(r, "v=DKIM1; k=rsa"), "no p=")
	test(set(r, "hello"), "not a list")
	test(set(r, "v=DKIM1; v=DKIM1"), "not a list")
	test(set(r, "v=DKIM2; p=x"), "v=DKIM2")
	test(set(r, "v=DKIM1; h=sha1; p="+strings.SplitAfter(r.Record(), "p=")[1]), "sha256")
	test(set(r, "v=DKIM1; s=other; p="+strings.SplitAfter(r.Record(), "p=")[1]), "email")
	zone.AddTXT(r.Name(), r.Record())
	test(r, "more than one")
	zone.Remove(r.Name())
	zone.MustAdd(r.Name() + ". IN CNAME r.hosted.example.")
	zone.AddTXT("r.hosted.example", r.Record())
	test(r, "")
	zone.Fail(r.Name(), dnstest.ServFail)
	if _, err := Test(context.Background(), res, r); err == nil {
		t.Error("Test with SERVFAIL has no error")
	}
}

func TestKeyNeverPrints(t *testing.T) {
	s := open(t, t.TempDir())
	k := create(t, s, "example.org", "sel", Ed25519)
	priv := []byte(k.signer().(ed25519.PrivateKey))
	type outer struct {
		Pub  Key
		priv Key
		Ptr  *Key
	}
	o := outer{k, k, &k}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", k)
		fmt.Fprintf(&out, verb+"\n", o)
		fmt.Fprintf(&out, verb+"\n", &o)
		fmt.Fprintf(&out, verb+"\n", s.set.Load())
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "k", k, "o", o)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "k", k, "o", o)
	j, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	all := out.String() + string(j)
	for _, leak := range []string{fmt.Sprintf("%x", priv[:16]), fmt.Sprint(priv[:8])[1:20], string(priv[:8])} {
		if strings.Contains(all, leak) {
			t.Errorf("printed output holds %q", leak)
		}
	}
	var back map[string]any
	if err := json.Unmarshal(j, &back); err != nil || back["record"] != k.Record() || back["name"] != k.Name() {
		t.Errorf("JSON is %s, %v", j, err)
	}
}

func FuzzParsePEM(f *testing.F) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	f.Add(pemOf(f, ed))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parsePEM(b)
		if err != nil {
			return
		}
		k := newKey("example.org", "s", "", s)
		if p, _ := compare(k, k.Record()); p != "" {
			t.Errorf("its own record: %s", p)
		}
	})
}

func FuzzCompare(f *testing.F) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	k := newKey("example.org", "s", "", ed)
	f.Add(k.Record())
	f.Add("v=DKIM1;;p=;t=y:s;h=sha1:sha256")
	f.Add("p==;=")
	f.Fuzz(func(t *testing.T, record string) {
		if p, _ := compare(k, record); p == "" && !strings.Contains(strip(record), strings.SplitAfter(k.Record(), "p=")[1]) {
			t.Errorf("compare takes %q", record)
		}
	})
}
