//go:build linux

package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	goredis "github.com/redis/go-redis/v9"
)

// needed are the programs beside those of the lab, with Debian's packages.
var needed = []struct{ name, pkg string }{
	{"redis-server", "redis-server"}, {"redis-benchmark", "redis-tools"},
	{"mariadbd", "mariadb-server"}, {"mariadb-install-db", "mariadb-server"},
}

// find returns the path of a program, also where ordinary users do not look.
func find(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

// server is a program that runs until the end, beside the lab.
type server struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

func run(cred *syscall.Credential, name string, args ...string) (*server, error) {
	path, err := find(name)
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(path, args...)}
	s.cmd.Dir, s.cmd.Env = "/", []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "HOME=/nonexistent"}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	return s, s.cmd.Start()
}

// stop ends it. What is missed dies with the namespace.
func (s *server) stop() {
	if s != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// redisAt starts a Redis on a port of the lab's own loopback.
func redisAt(dir string, port int) (*server, *goredis.Client, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	s, err := run(nil, "redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no")
	if err != nil {
		return nil, nil, err
	}
	c := goredis.NewClient(&goredis.Options{Addr: addr, Protocol: 2, DisableIdentity: true})
	err = patient(func() error { return c.Ping(context.Background()).Err() })
	return s, c, err
}

// rootPassword is that of MariaDB's root, over its socket alone.
const rootPassword = "only for an hour"

// maria is the server of accounts.
type maria struct {
	*server
	socket string
	db     *sql.DB
}

// startMaria starts one with empty tables.
func startMaria(dir string) (*maria, error) {
	u, err := user.Lookup("mysql")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.MkdirAll(dir, 0o755), os.Chown(dir, uid, gid)); err != nil {
		return nil, err
	}
	cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	data := filepath.Join(dir, "data")
	install, err := run(cred, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--tmpdir="+dir,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	if err != nil {
		return nil, err
	}
	if err := install.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w: %s", err, install.out.String())
	}
	init := filepath.Join(dir, "init.sql")
	text := "DELETE FROM mysql.global_priv WHERE User = '';\nFLUSH PRIVILEGES;\nALTER USER root@localhost IDENTIFIED BY '" + rootPassword + "';\n"
	if err := errors.Join(os.WriteFile(init, []byte(text), 0o600), os.Chown(init, uid, gid)); err != nil {
		return nil, err
	}
	m := &maria{socket: filepath.Join(dir, "sock")}
	m.server, err = run(cred, "mariadbd", "--no-defaults", "--datadir="+data, "--socket="+m.socket, "--pid-file="+filepath.Join(dir, "pid"),
		"--init-file="+init, "--tmpdir="+dir, "--skip-name-resolve", "--bind-address=127.0.0.1", "--port=3306",
		"--character-set-server=utf8mb4", "--innodb-buffer-pool-size=128M")
	if err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = "root", rootPassword, "unix", m.socket
	cfg.MultiStatements, cfg.InterpolateParams, cfg.Logger = true, true, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	m.db = sql.OpenDB(connector)
	if err := patient(m.db.Ping); err != nil {
		return nil, fmt.Errorf("mariadbd: %w: %s", err, m.out.String())
	}
	return m, nil
}

// patient tries until it is well, for half a minute.
func patient(try func() error) (err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 600 {
		if err = try(); err == nil {
			return nil
		}
		<-tick.C
	}
	return err
}

// The tables of the guides, with which gatepost may do nothing but SELECT.
const guideTables = `
CREATE DATABASE mail; CREATE DATABASE gatepost;
CREATE TABLE mail.domains (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL UNIQUE) ENGINE=InnoDB;
CREATE TABLE mail.users (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, domain_id INT NOT NULL,
	password VARCHAR(200) NOT NULL, email VARCHAR(120) NOT NULL UNIQUE,
	FOREIGN KEY (domain_id) REFERENCES mail.domains (id) ON DELETE CASCADE) ENGINE=InnoDB;
CREATE TABLE mail.aliases (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, domain_id INT NOT NULL,
	source VARCHAR(100) NOT NULL, destinations TEXT NOT NULL, KEY (source),
	FOREIGN KEY (domain_id) REFERENCES mail.domains (id) ON DELETE CASCADE) ENGINE=InnoDB;
CREATE USER gatepost@'%' IDENTIFIED BY 'gatepost';
GRANT SELECT ON mail.* TO gatepost@'%';
GRANT ALL ON gatepost.* TO gatepost@'%';
`
