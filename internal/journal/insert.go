package journal

import (
	"context"
	"database/sql/driver"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// keepText is how much room for texts is kept for the next statement.
const keepText = 1 << 20

// inserter inserts records. What it needs for that it uses again: a record
// should leave no garbage.
type inserter struct {
	full string // inserts groupRecords
	args []driver.NamedValue
	text []byte // what args refer to
}

// fields is how many values a record has.
const fields = 5

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
	return db.TxDirect(ctx, func(tx *sqlite.Direct) error {
		for group := range slices.Chunk(batch, groupRecords) {
			args := in.read(group)
			var err error
			if len(group) == groupRecords {
				err = tx.ExecKept(ctx, in.full, args)
			} else {
				err = tx.Exec(ctx, insertOf(len(group)), args)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// read returns the values of a group. They hold until the next call.
func (in *inserter) read(group []queued) []driver.NamedValue {
	for len(in.args) < fields*len(group) {
		in.args = append(in.args, driver.NamedValue{Ordinal: len(in.args) + 1})
	}
	in.text = in.text[:0]
	if cap(in.text) > keepText {
		in.text = nil
		for i := range in.args {
			in.args[i].Value = nil // they are parts of it
		}
	}
	for i, q := range group {
		k, to := q.keys(), in.args[i*fields:]
		to[0].Value, to[1].Value, to[2].Value = q.Time.UnixMicro(), k.queueID, k.messageID
		to[3].Value = nil
		if k.client.IsValid() {
			from := len(in.text)
			b := k.client.As16()
			in.text = append(in.text, b[:]...)
			to[3].Value = in.text[from:]
		}
		from := len(in.text)
		in.text = appendRecord(in.text, q.Record, k)
		to[4].Value = in.text[from:]
	}
	return in.args[:fields*len(group)]
}
