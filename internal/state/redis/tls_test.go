package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// certificate writes one for redis.example and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.example"}, DNSNames: []string{"redis.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	err = errors.Join(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_, port, _ := strings.Cut(addr, ":")
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	redistest.Single(t, redistest.Args("--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"))
	for name, tc := range map[string]struct {
		tls  TLS
		want string
	}{
		"trusted":      {TLS{Enable: true, CAFile: cert, ServerName: "redis.example"}, ""},
		"another name": {TLS{Enable: true, CAFile: cert, ServerName: "other.example"}, "certificate is valid for redis.example"},
		"unknown CA":   {TLS{Enable: true, ServerName: "redis.example"}, "unknown authority"},
		"in the clear": {TLS{}, "redis: get seen"}, // closed by the server
	} {
		cfg := Default()
		cfg.Addresses, cfg.TLS = []string{addr}, tc.tls
		s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Get(t.Context(), state.Seen, "k")
		if tc.want == "" && !errors.Is(err, state.ErrNotFound) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: Get() = %v, want %q", name, err, tc.want)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close() = %v", name, err)
		}
	}
	cfg := Default()
	cfg.Addresses, cfg.TLS = []string{addr}, TLS{Enable: true, CAFile: key}
	if _, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("Open() with a ca_file without a certificate is no error")
	}
}
