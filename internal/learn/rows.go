package learn

import (
	"context"
	"database/sql"
	"errors"
)

// insert writes the row of a decision.
func (b *batch) insert(ctx context.Context, tx *sql.Tx, i int, k []byte, d Decision) (int64, error) {
	it := &b.items[i]
	state, applied, features := stateLearned, any(nil), any(it.Features)
	switch d.What {
	case Waiting:
		state = stateWaiting
	case Refused:
		state, features = stateRefused, nil
	default:
		b.seq++
		applied = b.seq
	}
	run, seq, item := any(nil), any(nil), any(nil)
	if b.at.run != 0 {
		run, seq, item = b.at.run, int64(b.at.seq), i
	}
	t := it.Trace
	res, err := tx.ExecContext(ctx, `INSERT INTO learns (time, message, message_id, queue_id, arrived, campaign, spam, source,
		user, share, state, reason, applied, features, file, run, seq, item) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		b.time.UnixMilli(), k, t.MessageID, t.QueueID, t.Arrived.Unix(), it.Campaign, it.spam, b.source,
		b.user, d.Share, state, d.Reason, applied, features, int64(it.File), run, seq, item)
	if err != nil {
		return 0, err
	}
	id, err := res.LastInsertId()
	if err != nil || state != stateLearned {
		return id, err
	}
	b.about.Today++
	b.l.tally.add(b.user, d.Share)
	b.changes = append(b.changes, change{seq: b.seq, id: id, spam: it.spam, share: d.Share, features: it.Features})
	return id, nil
}

// undo takes a row back, or drops one that waits. Features are those that the
// event brings, for a row that has none any more.
func (b *batch) undo(ctx context.Context, tx *sql.Tx, id int64, features []byte) error {
	c := change{id: id, undo: true}
	var state int
	var user string
	var at int64
	if err := tx.QueryRowContext(ctx, "SELECT time, state, user, spam, share, features, step FROM learns WHERE id = ?", id).
		Scan(&at, &state, &user, &c.spam, &c.share, &c.features, &c.step); err != nil {
		return err
	}
	if state != stateLearned {
		_, err := tx.ExecContext(ctx, "UPDATE learns SET state = ?, features = NULL WHERE id = ? AND state = ?", stateDropped, id, stateWaiting)
		return err
	}
	if b.at.run != 0 && at < b.time.AddDate(0, 0, -b.keepDays).UnixMilli() {
		c.features = nil // the hosts trim at other hours, and have to do the same here
	}
	if len(c.features) == 0 {
		c.features = features
	}
	if len(c.features) == 0 && b.kind == kindLearn { // too old; the message at hand has the same
		c.features = b.sameFeatures(ctx, tx, id)
	}
	if len(c.features) == 0 {
		return errTooOld
	}
	b.seq++
	c.seq = b.seq
	_, err := tx.ExecContext(ctx, "UPDATE learns SET state = ?, undone = ?, features = ? WHERE id = ?", stateUndone, c.seq, c.features, id)
	b.l.tally.add(user, -c.share)
	b.changes = append(b.changes, c)
	return err
}

// overrule takes the say from a row whose features are gone: the model keeps
// what it learned then, and learns the contrary.
func (b *batch) overrule(ctx context.Context, tx *sql.Tx, id int64) error {
	var user string
	var share float64
	err := tx.QueryRowContext(ctx, "UPDATE learns SET state = ?, reason = 'overruled' WHERE id = ? RETURNING user, share", stateDropped, id).Scan(&user, &share)
	if err == nil {
		b.l.tally.add(user, -share)
	}
	return err
}

// errTooOld means that the features of a learn are no longer kept.
var errTooOld = errors.New("its features are no longer kept")

// sameFeatures returns the features of the item whose message is that of a row.
func (b *batch) sameFeatures(ctx context.Context, tx *sql.Tx, id int64) []byte {
	var k []byte
	if err := tx.QueryRowContext(ctx, "SELECT message FROM learns WHERE id = ?", id).Scan(&k); err != nil {
		return nil
	}
	for i := range b.items {
		if it := &b.items[i]; string(key(it.Features, it.Trace.MessageID)) == string(k) {
			return it.Features
		}
	}
	return nil
}

// maxVotes bounds what is looked at of one message.
const maxVotes = 200

// votes returns the rows that count of the message k, without the row from. It
// is the same message by its content, by its trace, or, of one mailbox, by its
// file: two hosts that share a mail store both see it move, and Postfix on one
// of them has put other fields on top than the other one knows.
func (b *batch) votes(ctx context.Context, tx *sql.Tx, k []byte, it *actItem, from int64) (votes []Vote, err error) {
	t := it.Trace
	rows, err := tx.QueryContext(ctx, `SELECT id, time, run, spam, source, user, share, state, reason FROM learns
		WHERE state IN (?, ?, ?) AND id <> ? AND (message = ? OR queue_id = ? AND queue_id <> '' AND message_id = ? AND abs(arrived - ?) < ?
			OR file = ? AND file <> 0 AND user = ?)
		ORDER BY id DESC LIMIT ?`, stateWaiting, stateLearned, stateRefused, from, k, t.QueueID, t.MessageID, t.Arrived.Unix(), near.Seconds(),
		int64(it.File), b.user, maxVotes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v Vote
		var at int64
		var run sql.NullInt64
		var state int
		var reason string
		if err := rows.Scan(&v.ID, &at, &run, &v.Spam, &v.Source, &v.User, &v.Share, &state, &reason); err != nil {
			return nil, err
		}
		v.Later = b.at.run != 0 && run.Int64 != b.at.run && at > b.time.UnixMilli()
		v.Outvoted = state == stateRefused && reason == otherwise
		v.Refused, v.Waiting = state == stateRefused, state == stateWaiting
		votes = append(votes, v)
	}
	return votes, rows.Err()
}
