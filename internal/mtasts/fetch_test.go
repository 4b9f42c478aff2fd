package mtasts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// loopback answers every name with the test's own server.
type loopback struct{ addrs []netip.Addr }

func (l loopback) LookupIP(context.Context, string, string) ([]netip.Addr, error) {
	if l.addrs == nil {
		return nil, errors.New("SERVFAIL")
	}
	return l.addrs, nil
}

// certificate returns one for names, and the authority that signed it.
func certificate(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	check(err)
	ca, err = x509.ParseCertificate(der)
	check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: names, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err = x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	check(err)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// website serves h on the loopback address under a certificate for names, and
// returns a fetcher that finds it.
func website(t *testing.T, h http.HandlerFunc, names ...string) *fetcher {
	t.Helper()
	cert, roots := certificate(t, names...)
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = slog.NewLogLogger(quiet.Handler(), slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	ap := netip.MustParseAddrPort(s.Listener.Addr().String())
	return &fetcher{dns: loopback{[]netip.Addr{ap.Addr()}}, roots: roots, port: ap.Port(), reachable: netip.Addr.IsLoopback}
}

const wellFormed = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n"

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/mta-sts.txt" || r.Host != "mta-sts.example.org" || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, body)
	}
}

func TestFetch(t *testing.T) {
	const name = "mta-sts.example.org"
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		cert    string
		want    string // part of the error, "" for a policy
	}{
		{"well", text(wellFormed), name, ""},
		{"malformed", text("hello\n"), name, "not an MTA-STS policy"},
		{"certificate of another name", text(wellFormed), "example.org", "certificate"},
		{"not there", http.NotFound, name, "status 404"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://mta-sts.example.org/.well-known/mta-sts.txt?", http.StatusFound)
		}, name, "status 302"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, wellFormed)
		}, name, "not text/plain"},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for range 1000 {
				if _, err := io.WriteString(w, wellFormed+strings.Repeat("x: y\n", 1000)); err != nil {
					return
				}
			}
		}, name, "longer than"},
		{"endless header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", MaxPolicyBytes))
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, wellFormed)
		}, name, "headers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := website(t, tc.handler, tc.cert).fetch(t.Context(), "example.org")
			if tc.want == "" {
				if err != nil || p.Mode != Enforce || p.MX[0] != "mx.example.org" {
					t.Errorf("fetch() = %+v, %v", p, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("fetch() = %+v, %v, want an error with %q", p, err, tc.want)
			}
		})
	}
}

func TestFetchUnknownAuthority(t *testing.T) {
	f := website(t, text(wellFormed), "mta-sts.example.org")
	_, f.roots = certificate(t, "mta-sts.example.org")
	var unknown x509.UnknownAuthorityError
	if _, err := f.fetch(t.Context(), "example.org"); !errors.As(err, &unknown) {
		t.Errorf("fetch() = %v, want an unknown authority", err)
	}
}

// TestFetchStaysPublic: a domain whose host has an address of ours is not asked.
func TestFetchStaysPublic(t *testing.T) {
	asked := false
	f := website(t, func(http.ResponseWriter, *http.Request) { asked = true }, "mta-sts.example.org")
	f.reachable = public
	if _, err := f.fetch(t.Context(), "example.org"); err == nil || asked {
		t.Errorf("fetch() = %v, and the loopback server was asked: %v", err, asked)
	}
	f.dns = loopback{}
	if _, err := f.fetch(t.Context(), "example.org"); err == nil || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("fetch() without DNS = %v", err)
	}
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "2001:db8::1": true, "127.0.0.1": false, "::1": false, "10.1.2.3": false, "192.168.0.1": false,
		"172.16.0.1": false, "169.254.1.1": false, "fe80::1": false, "fd00::1": false, "100.64.0.1": false, "0.0.0.0": false,
		"::": false, "224.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "255.255.255.255": false,
		"0.1.2.3": false, "192.0.0.8": false, "198.18.0.1": false, "240.0.0.1": false, "fec0::1": false, "::7f00:1": false,
		"::ffff:0:10.0.0.1": false, "64:ff9b::a00:1": false, "64:ff9b:1::a00:1": false, "2001::1": false, "2002:a00:1::1": false,
		"2001:67c:2e8::1": true, "198.51.100.1": true,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("public(%s) = %v, want %v", addr, got, want)
		}
	}
}

// TestFetchEnds: a server that says nothing does not keep us.
func TestFetchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	f := website(t, func(http.ResponseWriter, *http.Request) { cancel(); <-release }, "mta-sts.example.org")
	defer close(release)
	if _, err := f.fetch(ctx, "example.org"); !errors.Is(err, context.Canceled) {
		t.Errorf("fetch() = %v, want the end of its context", err)
	}
}
