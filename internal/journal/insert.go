package journal

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// keepText is how much room for texts is kept for the next statement.
const keepText = 1 << 20

// inserter inserts records into one file at a time. What it needs for that it
// uses again: a record should leave no garbage.
type inserter struct {
	file *sqlite.DB
	full *sql.Stmt // inserts groupRecords into file, which closes it
	args []any
	text []byte // of the records of one statement
}

// insertOf returns the statement for some records. With OR FAIL it keeps no
// copy of each page that it changes, to undo itself alone: the transaction is
// undone anyway.
func insertOf(records int) string {
	return "INSERT OR FAIL INTO records (time, queue_id, message_id, client, record) VALUES (?, ?, ?, ?, CAST(? AS TEXT))" +
		strings.Repeat(", (?, ?, ?, ?, CAST(? AS TEXT))", records-1)
}

// insert writes a batch in one transaction, groupRecords with each statement.
func (in *inserter) insert(db *sqlite.DB, batch []queued) error {
	ctx := context.Background() // of the journal itself
	if err := in.use(ctx, db); err != nil {
		return err
	}
	return sqlite.Tx(ctx, db.Writer, func(tx *sql.Tx) error {
		full := tx.StmtContext(ctx, in.full)
		for group := range slices.Chunk(batch, groupRecords) {
			in.read(group)
			var err error
			if len(group) == groupRecords {
				_, err = full.ExecContext(ctx, in.args...)
			} else {
				_, err = tx.ExecContext(ctx, insertOf(len(group)), in.args...)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// use prepares what db needs, once.
func (in *inserter) use(ctx context.Context, db *sqlite.DB) error {
	if in.file == db {
		return nil
	}
	full, err := db.Writer.PrepareContext(ctx, insertOf(groupRecords))
	if err != nil {
		return err
	}
	in.file, in.full = db, full
	return nil
}

// read sets the values of a group. They hold until the next call.
func (in *inserter) read(group []queued) {
	in.args, in.text = in.args[:0], in.text[:0]
	if cap(in.text) > keepText {
		in.text = nil
	}
	for _, q := range group {
		r := q.Record
		if !r.isClean() {
			c := r.clean()
			r = &c
		}
		from := len(in.text)
		in.text = appendRecord(in.text, r)
		in.args = append(in.args, r.Time.UnixMicro(), r.QueueID, r.MessageID, clientKey(r.ClientAddr), in.text[from:])
	}
}

// clientKey returns the 16 bytes by which an address is found, nil for none.
func clientKey(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	b := a.As16()
	return b[:]
}
