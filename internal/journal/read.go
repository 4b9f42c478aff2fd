package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
)

// maxRead bounds the records of one answer; the newest are given.
const maxRead = 1000

// Client returns what clients in the network did since then, by time, also what
// never had a queue id, and for an IPv6 address the bans of its /64, too. Of
// more than 1000 records it gives the newest. While the disk takes none, records
// that wait for it are missing; see Failing.
func (j *Journal) Client(ctx context.Context, network netip.Prefix, since time.Time) ([]Record, error) {
	if !network.IsValid() {
		return nil, fmt.Errorf("journal: not a network")
	}
	if err := j.flushed(ctx); err != nil {
		return nil, err
	}
	first, last := span(network)
	all, err := j.clients(ctx, first, last, since, forever)
	if err != nil {
		return nil, err
	}
	wider := netaddr.Network(network.Addr())
	if network.Bits() <= wider.Bits() {
		return all, nil
	}
	key := clientKey(wider.Addr())
	bans, err := j.clients(ctx, key, key, since, forever)
	if err != nil {
		return nil, err
	}
	for _, r := range bans {
		if r.Daemon == "guard" && !network.Contains(r.ClientAddr) {
			all = append(all, r)
		}
	}
	sortByTime(all)
	return all, nil
}

// forever is later than any record.
var forever = time.UnixMicro(1 << 60)

func sortByTime(records []Record) {
	slices.SortStableFunc(records, func(a, b Record) int { return a.Time.Compare(b.Time) })
}

// span returns the first and the last key of a network.
func span(p netip.Prefix) (first, last []byte) {
	addr, bits := p.Masked().Addr(), p.Bits()
	if addr.Is4() {
		bits += 96
	}
	first, last = clientKey(addr), clientKey(addr)
	for i := bits; i < 128; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	return first, last
}

// clientKey returns the 16 bytes by which an address is found, nil for none.
func clientKey(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	b := a.As16()
	return b[:]
}

// inPieces makes the index of clients usable, by naming each of its pieces.
const inPieces = `id >> 13 IN (
	WITH RECURSIVE piece (n) AS (
		SELECT min(id) >> 13 FROM records
		UNION ALL
		SELECT n + 1 FROM piece WHERE n < (SELECT max(id) >> 13 FROM records)
	) SELECT n FROM piece)`

// clients returns the records of a range of clients between two times.
func (j *Journal) clients(ctx context.Context, first, last []byte, from, to time.Time) ([]Record, error) {
	return j.query(ctx, inPieces+" AND client BETWEEN ? AND ? AND time BETWEEN ? AND ?",
		first, last, from.UnixMicro(), to.UnixMicro())
}

// query returns the newest records for which a condition holds, by time.
func (j *Journal) query(ctx context.Context, where string, args ...any) (all []Record, err error) {
	query := "SELECT record FROM records WHERE " + where + " ORDER BY time DESC, id DESC LIMIT ?"
	rows, err := j.db.Load().Reader.QueryContext(ctx, query, append(args, maxRead)...)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		var r Record
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		all = append(all, r)
	}
	slices.Reverse(all)
	return all, rows.Err()
}

// Story tells of the message with that queue id or Message-ID: of the newest,
// if several had it. It is ErrNotFound when the journal knows none. While the
// disk takes no records, those that wait for it are missing; see Failing.
func (j *Journal) Story(ctx context.Context, id string) (Story, error) {
	if err := j.flushed(ctx); err != nil {
		return Story{}, err
	}
	id = bareID(printable(id, MaxTextBytes))
	own, err := j.byID(ctx, id)
	if err != nil {
		return Story{}, err
	}
	s, own := newest(own)
	if len(own) == 0 {
		return Story{}, ErrNotFound
	}
	var near []Record
	if a, begin, end := s.client(own); a.IsValid() {
		key := clientKey(a)
		near, err = j.clients(ctx, key, key, begin.Add(-maxSession), end)
		if err != nil {
			return Story{}, err
		}
	}
	s.assemble(own, near)
	return s, nil
}

// byID returns the records with that queue id, or else all records of the
// messages with that Message-ID.
func (j *Journal) byID(ctx context.Context, id string) ([]Record, error) {
	if id == "" {
		return nil, nil
	}
	const byQueueID = "queue_id = ? AND queue_id <> ''"
	own, err := j.query(ctx, byQueueID, id)
	if err != nil || len(own) > 0 {
		return own, err
	}
	own, err = j.query(ctx, "message_id = ? AND message_id <> ''", id)
	if err != nil {
		return nil, err
	}
	var all []Record
	seen := map[string]bool{}
	for _, r := range slices.Backward(own) { // the newest messages first
		if r.QueueID == "" {
			all = append(all, r)
			continue
		}
		if seen[r.QueueID] || len(seen) == maxOthers {
			continue
		}
		seen[r.QueueID] = true
		more, err := j.query(ctx, byQueueID, r.QueueID)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	sortByTime(all)
	return all, nil
}
