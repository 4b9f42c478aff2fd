package state

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// OpenMemory returns a store without a file: what it has ends with the process.
// Its tables are bounded as those of OpenSQLite, Delivery too, which drops here
// what ends first; a Put with sync waits for no disk.
func OpenMemory(log *slog.Logger) *SQLite {
	s := empty(&sqlite.DB{Writer: sql.OpenDB(noFile{}), Reader: sql.OpenDB(noFile{})}, log)
	for _, m := range s.tables {
		m.onDisk = false
	}
	go s.pass()
	return s
}

// pass takes the place of flush where there is no file, until Close.
func (s *SQLite) pass() {
	defer close(s.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.wake:
		case <-tick.C:
			s.expire(time.Now())
		case <-s.stop:
			s.passed()
			return
		}
		s.passed()
	}
}

// passed takes all that waits to be written for written.
func (s *SQLite) passed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.dirty)
	if s.group != nil {
		close(s.group.done)
		s.group = nil
	}
}

// noFile opens no connection: a store in memory has nothing to ask one.
type noFile struct{}

var errNoFile = errors.New("this state is in memory only")

// Connect implements driver.Connector.
func (noFile) Connect(context.Context) (driver.Conn, error) { return nil, errNoFile }

// Driver implements driver.Connector.
func (noFile) Driver() driver.Driver { return noFile{} }

// Open implements driver.Driver.
func (noFile) Open(string) (driver.Conn, error) { return nil, errNoFile }
