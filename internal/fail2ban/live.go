package fail2ban

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	driver "modernc.org/sqlite"
)

// maxBans bounds how many live bans are read.
const maxBans = 100_000

// Ban is one that fail2ban holds now.
type Ban struct {
	Network netip.Prefix
	Jail    string
	// Until is zero for a ban for ever.
	Until time.Time
}

// ReadDatabase reads the bans that hold at now from fail2ban's database, which
// is not changed: fail2ban may run.
func ReadDatabase(ctx context.Context, path string, now time.Time) (bans []Ban, notes []Note, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	if st, err := os.Stat(abs); err != nil || !st.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("read fail2ban's database %s: %w", path, errors.Join(err, os.ErrInvalid))
	}
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=trusted_schema(0)"}
	connector, err := driver.NewConnector(dsn.String())
	if err != nil {
		return nil, nil, fmt.Errorf("read fail2ban's database %s: %w", path, err)
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT CAST(ip AS TEXT), CAST(jail AS TEXT), CAST(timeofban AS INTEGER), CAST(bantime AS INTEGER) FROM bips
		WHERE bantime < 0 OR timeofban + bantime > ? ORDER BY timeofban DESC LIMIT ?`, now.Unix(), maxBans+1)
	if err != nil {
		return nil, nil, fmt.Errorf("read fail2ban's database %s (versions before 0.11 are not known): %w", path, err)
	}
	defer rows.Close()
	for rows.Next() {
		var ip, jail string
		var at, span int64
		if err := rows.Scan(&ip, &jail, &at, &span); err != nil {
			return nil, nil, fmt.Errorf("read fail2ban's database %s: %w", path, err)
		}
		if len(bans) == maxBans {
			notes = append(notes, Note{What: "live bans", Why: fmt.Sprintf("there are more than %d; the newest are taken", maxBans)})
			break
		}
		p, err := parseNetwork(ip)
		if err != nil {
			notes = append(notes, Note{What: "live ban of " + clip(ip), Why: "it is no address: a jail that bans something else"})
			continue
		}
		b := Ban{Network: p, Jail: jail}
		if span >= 0 {
			b.Until = time.Unix(at+span, 0)
		}
		bans = append(bans, b)
	}
	return bans, notes, rows.Err()
}

// banLine is a line of "fail2ban-client get JAIL banip --with-time".
var banLine = regexp.MustCompile(`^([0-9A-Fa-f:./]{2,50})[ \t]+([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}) \+ (-?[0-9]{1,12}) = .{1,30}$`)

// ReadList reads what "fail2ban-client get JAIL banip --with-time" printed, in
// the time zone of this host, for one jail.
func ReadList(r io.Reader, jail string, now time.Time) (bans []Ban, notes []Note, err error) {
	in := bufio.NewScanner(io.LimitReader(r, 16<<20))
	in.Buffer(nil, 4096)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		if line == "" {
			continue
		}
		note := func(why string) {
			notes = append(notes, Note{Where: "line " + strconv.Itoa(n), What: clip(line), Why: why})
		}
		m := banLine.FindStringSubmatch(line)
		if m == nil {
			note("it is not ADDRESS TIME + SECONDS = TIME: was --with-time left out?")
			continue
		}
		p, err := parseNetwork(m[1])
		at, timeErr := time.ParseInLocation(time.DateTime, m[2], now.Location())
		span, spanErr := strconv.ParseInt(m[3], 10, 64)
		if err := errors.Join(err, timeErr, spanErr); err != nil {
			note(err.Error())
			continue
		}
		b := Ban{Network: p, Jail: jail}
		if span >= 0 {
			if b.Until = time.Unix(at.Unix()+span, 0); !b.Until.After(now) {
				continue
			}
		}
		if len(bans) == maxBans {
			note("there are too many; the first are taken")
			break
		}
		bans = append(bans, b)
	}
	return bans, notes, in.Err()
}
