package mysql

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	sqldriver "github.com/go-sql-driver/mysql"
)

// slack is how much longer than the limit of a statement an answer may take:
// the server ends the statement first, and says so.
const slack = time.Second

// connector makes connections that all begin with the same session.
type connector struct {
	driver.Connector
	session string
}

// sessionMode leaves out what changes how text in quotation marks is read:
// NO_BACKSLASH_ESCAPES, ANSI_QUOTES. Values go into the statement's text
// (InterpolateParams), which is safe with utf8mb4 and those two off. A value
// that is too long is an error, and not cut.
const sessionMode = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"

// newConnector returns a connector to a host. Each of its statements ends at
// the server within limit: a cancelled one would go on there. MariaDB reads the
// first comment, MySQL since 5.7.8 the second.
func (c Config) newConnector(host string, limit time.Duration, write bool) (driver.Connector, error) {
	network, addr, err := parseHost(host)
	if err != nil {
		return nil, err
	}
	cfg := sqldriver.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = network, addr, c.User, c.DBName
	cfg.Timeout = c.ConnectTimeout.Std()
	cfg.ReadTimeout, cfg.WriteTimeout = limit+slack, limit+slack
	cfg.InterpolateParams = true
	cfg.ClientFoundRows = true // an UPDATE to what is there already has found its row
	cfg.RejectReadOnly = write // after a failover: connect anew, to the one that takes changes
	cfg.Logger = &sqldriver.NopLogger{}
	if cfg.TLS, err = c.tls(network, addr); err != nil {
		return nil, err
	}
	err = cfg.Apply(sqldriver.Charset("utf8mb4", ""), sqldriver.BeforeConnect(func(_ context.Context, cfg *sqldriver.Config) error {
		password, err := readPassword(c.PasswordFile)
		cfg.Passwd = password
		return err
	}))
	if err != nil {
		return nil, err
	}
	inner, err := sqldriver.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	session := fmt.Sprintf("SET SESSION sql_mode = '%s' /*M!100101 , max_statement_time = %.3f */ /*!50708 , max_execution_time = %d */",
		sessionMode, limit.Seconds(), limit.Milliseconds())
	return connector{inner, session}, nil
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	exec, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver takes no statement"), conn.Close())
	}
	if _, err := exec.ExecContext(ctx, c.session, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("begin session: %w", err), conn.Close())
	}
	return conn, nil
}

// readPassword returns the first line of a file.
func readPassword(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("password of the account server: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))), nil
}

// tls returns the settings for a host, nil without TLS.
func (c Config) tls(network, addr string) (*tls.Config, error) {
	if c.TLSLevel == tlsNone {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.TLSLevel != tlsVerify}
	if network == "tcp" {
		t.ServerName, _, _ = net.SplitHostPort(addr)
	} else {
		t.ServerName = "localhost"
	}
	if c.TLSCAFile != "" {
		pem, err := os.ReadFile(c.TLSCAFile)
		if err != nil {
			return nil, fmt.Errorf("tls_ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca_file: %s has no certificate in PEM", c.TLSCAFile)
		}
	}
	if c.TLSCertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls_cert_file: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// pool returns connections to a host.
func (c Config) pool(host string, limit time.Duration, write bool) (*sql.DB, error) {
	conn, err := c.newConnector(host, limit, write)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(conn)
	db.SetMaxOpenConns(c.MaxConnections)
	db.SetMaxIdleConns(c.IdleConnections)
	db.SetConnMaxLifetime(c.ConnectionLife.Std())
	return db, nil
}

// The errors of a server that mean more to us than their text.
const (
	tooManyConnections = 1040
	accessDenied       = 1045
	shutdownInProgress = 1053
	duplicateEntry     = 1062
	lockWaitTimeout    = 1205
	deadlock           = 1213
	optionPrevents     = 1290 // it is read-only
	readOnlyTx         = 1792
	unknownCommand     = 1047 // Galera: the node is not ready
	hostIsBlocked      = 1129
	hostNotPrivileged  = 1130
	tooManyOfUser      = 1203
	resourceLimit      = 1226
	illegalMix         = 1267
	illegalMixOfThree  = 1270
	illegalMixOfMany   = 1271
	connectionKilled   = 1927
	statementTimeout   = 1969 // MariaDB
	executionTimeout   = 3024 // MySQL
	canNotConvert      = 3854 // MySQL
	accountLocked      = 4151 // MariaDB
	// impossibleConversion is MySQL's since 8.0.19.
	impossibleConversion = 3988
)

func numberOf(err error) uint16 {
	var e *sqldriver.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// isAway reports whether err says that a server is away, and not that it
// answered. ctx is that of the call: when it is over, nothing is said.
func isAway(ctx context.Context, err error) bool {
	switch numberOf(err) {
	case tooManyConnections, tooManyOfUser, resourceLimit, shutdownInProgress, unknownCommand, connectionKilled, optionPrevents, readOnlyTx:
		return true
	case 0:
	default:
		return false
	}
	var netErr net.Error
	var files *os.PathError
	switch {
	case ctx.Err() != nil, errors.As(err, &files):
		return false
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sqldriver.ErrInvalidConn), errors.As(err, &netErr):
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// isShut reports whether err says that a server does not let us in, as after a
// change of the password there. Once we were in, that is as good as away.
func isShut(err error) bool {
	return slices.Contains([]uint16{accessDenied, hostIsBlocked, hostNotPrivileged, accountLocked}, numberOf(err))
}

// isBusy reports whether the same transaction may do better at once.
func isBusy(err error) bool {
	n := numberOf(err)
	return n == deadlock || n == lockWaitTimeout
}
