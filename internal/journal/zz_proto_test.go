package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

func cpuNow() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var js = strings.Repeat("x", 400)

type row struct {
	t       int64
	q, m, s string
	c       []byte
}

func rows(i, n, clients int) []row {
	var out []row
	for k := range n {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64((i*n+k)%clients))
		h := sha256.Sum256(b[:])
		r := row{t: time.Now().UnixMicro(), c: append([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"), h[:4]...), s: js}
		if k%4 == 0 {
			r.q = fmt.Sprint("4cBq", i*n+k)
		}
		out = append(out, r)
	}
	return out
}

func proto(t *testing.T, schema string, clients int, fn func(tx *sql.Tx, rs []row) error) {
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "x.db"), Migrations: fstest.MapFS{"0001_a.sql": {Data: []byte(schema)}}, Relaxed: true, Shrink: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const batches, n = 60, 512
	var all [][]row
	for i := range batches {
		all = append(all, rows(i, n, clients))
	}
	c := cpuNow()
	for i := range batches {
		if err := sqlite.Tx(context.Background(), db.Writer, func(tx *sql.Tx) error { return fn(tx, all[i]) }); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("clients %d: %v per record", clients, (cpuNow()-c)/(batches*n))
}

func TestProto(t *testing.T) {
	ctx := context.Background()
	old := `CREATE TABLE records (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, queue_id TEXT NOT NULL, message_id TEXT NOT NULL, client BLOB, record TEXT NOT NULL) STRICT;
CREATE INDEX records_queue_id ON records (queue_id) WHERE queue_id <> '';
CREATE INDEX records_client ON records (client, time) WHERE client IS NOT NULL;`
	chunk := `CREATE TABLE chunks (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, keys TEXT NOT NULL, records TEXT NOT NULL) STRICT;
CREATE TABLE keys (key TEXT NOT NULL, chunk INTEGER NOT NULL, PRIMARY KEY (key, chunk)) STRICT, WITHOUT ROWID;`
	for _, clients := range []int{1, 100, 1 << 30} {
		t.Run("old", func(t *testing.T) {
			proto(t, old, clients, func(tx *sql.Tx, rs []row) error {
				st, err := tx.PrepareContext(ctx, "INSERT INTO records (time, queue_id, message_id, client, record) VALUES (?, ?, ?, ?, ?)")
				if err != nil {
					return err
				}
				defer st.Close()
				for _, r := range rs {
					if _, err := st.ExecContext(ctx, r.t, r.q, r.m, r.c, r.s); err != nil {
						return err
					}
				}
				return nil
			})
		})
		t.Run("multi", func(t *testing.T) {
			proto(t, old, clients, func(tx *sql.Tx, rs []row) error {
				st, err := tx.PrepareContext(ctx, "INSERT INTO records (time, queue_id, message_id, client, record) VALUES (?, ?, ?, ?, ?)"+strings.Repeat(",(?, ?, ?, ?, ?)", 63))
				if err != nil {
					return err
				}
				defer st.Close()
				for len(rs) > 0 {
					var args []any
					for _, r := range rs[:64] {
						args = append(args, r.t, r.q, r.m, r.c, r.s)
					}
					rs = rs[64:]
					if _, err := st.ExecContext(ctx, args...); err != nil {
						return err
					}
				}
				return nil
			})
		})
		t.Run("multi no client index", func(t *testing.T) {
			proto(t, old[:strings.Index(old, "CREATE INDEX records_c")], clients, func(tx *sql.Tx, rs []row) error {
				st, err := tx.PrepareContext(ctx, "INSERT INTO records (time, queue_id, message_id, client, record) VALUES (?, ?, ?, ?, ?)"+strings.Repeat(",(?, ?, ?, ?, ?)", 63))
				if err != nil {
					return err
				}
				defer st.Close()
				for len(rs) > 0 {
					var args []any
					for _, r := range rs[:64] {
						args = append(args, r.t, r.q, r.m, r.c, r.s)
					}
					rs = rs[64:]
					if _, err := st.ExecContext(ctx, args...); err != nil {
						return err
					}
				}
				return nil
			})
		})
		for _, size := range []int{32, 64, 128} {
			t.Run(fmt.Sprint("chunk", size), func(t *testing.T) {
				proto(t, chunk, clients, func(tx *sql.Tx, rs []row) error {
					st, err := tx.PrepareContext(ctx, "INSERT INTO chunks (last, keys, records) VALUES (?, ?, ?)")
					if err != nil {
						return err
					}
					defer st.Close()
					ks, err := tx.PrepareContext(ctx, "INSERT INTO keys SELECT value, ? FROM json_each(?)")
					if err != nil {
						return err
					}
					defer ks.Close()
					for len(rs) > 0 {
						var b strings.Builder
						seen := map[string]bool{}
						var keys []string
						for _, r := range rs[:size] {
							b.WriteString(r.s)
							k := fmt.Sprintf("c%x", r.c)
							if !seen[k] {
								seen[k] = true
								keys = append(keys, k)
							}
							if r.q != "" {
								keys = append(keys, r.q)
							}
						}
						kj, _ := json.Marshal(keys)
						last := rs[size-1].t
						rs = rs[size:]
						res, err := st.ExecContext(ctx, last, string(kj), b.String())
						if err != nil {
							return err
						}
						id, _ := res.LastInsertId()
						if _, err := ks.ExecContext(ctx, id, string(kj)); err != nil {
							return err
						}
					}
					return nil
				})
			})
		}
	}
}
