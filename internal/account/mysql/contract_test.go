package mysql

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mariadbtest"
)

// ownConfig is for a new database of a server with tables of ours.
func ownConfig(t testing.TB, server *mariadbtest.Server) Config {
	t.Helper()
	name := server.CreateDatabase(t)
	return configAs(t, server, name, server.CreateUser(t, "ALL ON `"+name+"`.*"))
}

// configAs is for a user of a server.
func configAs(t testing.TB, server *mariadbtest.Server, database string, user mariadbtest.User) Config {
	t.Helper()
	cfg := Default()
	cfg.Hosts, cfg.DBName, cfg.User = []string{"unix:" + server.Socket}, database, user.Name
	cfg.PasswordFile = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(cfg.PasswordFile, []byte(user.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func openStore(t testing.TB, cfg Config) *Store { return openLogged(t, cfg, io.Discard) }

func openLogged(t testing.TB, cfg Config, log io.Writer) *Store {
	t.Helper()
	s, err := Open(context.Background(), cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	server := mariadbtest.Start(t, writesThrough())
	accounttest.RunOn(t, func(t *testing.T) accounttest.Data {
		cfg := ownConfig(t, server)
		return accounttest.Data{
			Open: func(t *testing.T) account.Backend { return openStore(t, cfg) },
			Restart: func(t *testing.T, s account.Backend) account.Backend {
				server.Kill(t)
				server.Restart(t)
				return s
			},
		}
	})
}

// The contract again where each look-up asks the server: nothing proves that what
// is remembered is current.
func TestContractWithoutCache(t *testing.T) {
	server := mariadbtest.Start(t)
	accounttest.Run(t, func(t *testing.T) account.Store {
		s := openStore(t, ownConfig(t, server))
		s.stop()
		s.done.Wait()
		s.clock.proved.Store(-int64(time.Hour))
		return s
	})
}

// writesThrough makes a server hand each commit to the kernel, so that a killed
// one has it.
func writesThrough() mariadbtest.Option {
	return mariadbtest.Args("--innodb-flush-log-at-trx-commit=2")
}
