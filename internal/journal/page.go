package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Page is some records of one daemon, the newest first.
type Page struct {
	Records []Record `json:"records"`
	// Before is what the next call gets for the older ones; 0 when there is none.
	Before int64 `json:"before"`
}

// Page returns the records of a daemon since then, at most 1000, that are older
// than a page before; 0 begins with the newest. While the disk takes none,
// records that wait for it are missing; see Failing.
func (j *Journal) Page(ctx context.Context, daemon string, since time.Time, before int64) (p Page, err error) {
	if before == 0 {
		before = 1 << 62
		if err := j.flushed(ctx); err != nil {
			return Page{}, err
		}
	}
	const query = `SELECT id, record FROM records WHERE id < ? AND time >= ? AND json_extract(record, '$.daemon') = ? ORDER BY id DESC LIMIT ?`
	rows, err := j.db.Load().Reader.QueryContext(ctx, query, before, since.UnixMicro(), daemon, maxRead)
	if err != nil {
		return Page{}, fmt.Errorf("read journal: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var last int64
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&last, &b); err != nil {
			return Page{}, fmt.Errorf("read journal: %w", err)
		}
		var r Record
		if err := json.Unmarshal(b, &r); err != nil {
			return Page{}, fmt.Errorf("read journal: %w", err)
		}
		p.Records = append(p.Records, r)
	}
	if len(p.Records) == maxRead {
		p.Before = last
	}
	return p, rows.Err()
}
