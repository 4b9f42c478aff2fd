package redis

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// maxPassword bounds the first line of a password file.
	maxPassword = 4096
	// slotsEvery is how old the map of a Cluster's slots may get: a request to a
	// master that is gone learns nothing of who took its place.
	slotsEvery = 2 * time.Second
	// redirects is how often a request follows MOVED or ASK.
	redirects = 3
	// buffer is smaller than the client's own choice, which times pool_size and
	// nodes is much for answers of some hundred bytes.
	buffer = 8 << 10
)

// login is the names and passwords of a Config, read from its files.
type login struct{ password, sentinelPassword string }

func readLogin(cfg *Config) (l login, err error) {
	if l.password, err = readPassword(cfg.PasswordFile); err != nil {
		return login{}, err
	}
	l.sentinelPassword, err = readPassword(cfg.SentinelPasswordFile)
	return l, err
}

// readPassword returns the first line of a file, or "" for no file.
func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("redis password: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	if len(line) == 0 || len(line) > maxPassword {
		return "", fmt.Errorf("redis password: the first line of %s has %d bytes", path, len(line))
	}
	return string(line), nil
}

// tlsConfig returns nil for connections in the clear.
func tlsConfig(cfg *TLS) (*tls.Config, error) {
	if !cfg.Enable {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if cfg.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("redis ca_file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("redis ca_file %s: no certificate in it", cfg.CAFile)
	}
	return c, nil
}

// connect returns a client, which dials when it is first asked. It tries
// nothing twice by itself: a count must not be sent again, and whether to wait
// is the breaker's to say. In a Cluster it follows redirects.
func connect(cfg *Config) (goredis.UniversalClient, *conns, error) {
	l, err := readLogin(cfg)
	if err != nil {
		return nil, nil, err
	}
	secure, err := tlsConfig(&cfg.TLS)
	if err != nil {
		return nil, nil, err
	}
	logging.Disable() // errors are returned, and told by who gets them
	dial, timeout := cfg.DialTimeout.Std(), cfg.Timeout.Std()
	all := &conns{timeout: dial, secure: secure, open: map[*conn]bool{}}
	if cfg.cluster() {
		return goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: cfg.Addresses, Username: cfg.Username, Password: l.password, Dialer: all.dial, Protocol: 2,
			MaxRedirects: redirects, MaxRetries: -1, MinRetryBackoff: 8 * time.Millisecond, MaxRetryBackoff: 32 * time.Millisecond,
			DialTimeout: dial, DialerRetries: 1, ReadTimeout: timeout, WriteTimeout: timeout, ContextTimeoutEnabled: true,
			PoolSize: cfg.PoolSize, PoolTimeout: timeout, ReadBufferSize: buffer, WriteBufferSize: buffer,
			PipelineReadBufferSize: buffer, PipelineWriteBufferSize: buffer,
			ClusterStateReloadInterval: slotsEvery, DisableRoutingPolicies: true, DisableIdentity: true,
			MaintNotificationsConfig: quiet(),
		}), all, nil
	}
	if cfg.MasterName != "" {
		return goredis.NewFailoverClient(&goredis.FailoverOptions{
			MasterName: cfg.MasterName, SentinelAddrs: cfg.Addresses,
			SentinelUsername: cfg.SentinelUser, SentinelPassword: l.sentinelPassword,
			Username: cfg.Username, Password: l.password, DB: cfg.Database, Dialer: all.dial, Protocol: 2,
			MaxRetries: -1, DialTimeout: dial, DialerRetries: 1, ReadTimeout: timeout, WriteTimeout: timeout,
			ContextTimeoutEnabled: true, PoolSize: cfg.PoolSize, PoolTimeout: timeout,
			ReadBufferSize: buffer, WriteBufferSize: buffer, PipelineReadBufferSize: buffer, PipelineWriteBufferSize: buffer,
			DisableIdentity: true,
		}), all, nil
	}
	return goredis.NewClient(&goredis.Options{
		Addr: cfg.Addresses[0], Username: cfg.Username, Password: l.password, DB: cfg.Database, Dialer: all.dial, Protocol: 2,
		MaxRetries: -1, DialTimeout: dial, DialerRetries: 1, ReadTimeout: timeout, WriteTimeout: timeout,
		ContextTimeoutEnabled: true, PoolSize: cfg.PoolSize, PoolTimeout: timeout,
		ReadBufferSize: buffer, WriteBufferSize: buffer, PipelineReadBufferSize: buffer, PipelineWriteBufferSize: buffer,
		DisableIdentity: true, MaintNotificationsConfig: quiet(),
	}), all, nil
}

// quiet asks for no notices of a hosting company's maintenance: a command more
// at each connect, which a plain server does not know.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// masters calls do for each server that holds data, several at once in a Cluster.
func (s *Store) masters(ctx context.Context, do func(ctx context.Context, c *goredis.Client) error) error {
	switch c := s.client.(type) {
	case *goredis.ClusterClient:
		return c.ForEachMaster(ctx, do)
	case *goredis.Client:
		return do(ctx, c)
	}
	return errors.New("redis: no such client")
}
