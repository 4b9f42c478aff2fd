package managesieve

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a pair of files, read again when they change.
type certificate struct {
	log *slog.Logger

	mu sync.Mutex
	// The fields below are guarded by mu.
	certFile, keyFile string
	cert              *tls.Certificate
	read              stamp     // of the files when they were read
	looked            time.Time // when they were looked at
}

// stamp tells one version of the files from another.
type stamp struct {
	certTime, keyTime time.Time
	certSize, keySize int64
}

// set takes two files, or returns what is wrong with them and keeps the old.
func (c *certificate) set(certFile, keyFile string) error {
	cert, s, err := load(certFile, keyFile)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.certFile, c.keyFile, c.cert, c.read, c.looked = certFile, keyFile, cert, s, time.Now()
	return nil
}

func load(certFile, keyFile string) (*tls.Certificate, stamp, error) {
	s, err := look(certFile, keyFile)
	if err != nil {
		return nil, s, err
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, s, fmt.Errorf("read ssl_cert and ssl_key, as the mail user: %w", err)
	}
	return &cert, s, nil
}

func look(certFile, keyFile string) (s stamp, err error) {
	cert, err := os.Stat(certFile)
	if err != nil {
		return s, fmt.Errorf("ssl_cert: %w", err)
	}
	key, err := os.Stat(keyFile)
	if err != nil {
		return s, fmt.Errorf("ssl_key: %w", err)
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

// get is a tls.Config.GetCertificate. New files that cannot be used leave the old
// ones in use: the one that renews certificates may be in the middle of it.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= certificateAge {
		c.looked = now
		if err := c.renew(); err != nil {
			c.log.LogAttrs(context.Background(), slog.LevelError, "new certificate not usable, the old one stays", slog.Any("err", err))
		}
	}
	return c.cert, nil
}

// renew reads files that have changed. It needs mu.
func (c *certificate) renew() error {
	s, err := look(c.certFile, c.keyFile)
	if err != nil || s == c.read {
		return err
	}
	cert, s, err := load(c.certFile, c.keyFile)
	if err == nil {
		c.cert, c.read = cert, s
	}
	return err
}
