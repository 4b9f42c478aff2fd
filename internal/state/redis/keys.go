package redis

import (
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/state"
)

// version is in every key: another one would be a new layout beside the old,
// whose keys end by themselves.
const version = "gp1:"

// What a key holds. In a Cluster the text between the first { and } decides the
// slot; with nothing between them it is the whole key, whatever bytes follow. So
// "{}" spreads keys and keeps what strangers chose from gathering them.
const (
	entryKind   = "{}e:" // + table + ":" + key: a string
	groupKind   = "{}g:" // + table + ":" + group: a hash
	streamKind  = "{}s:" // + name: a stream
	counterKind = "{l}c:"
	mergeKind   = "{l}m:" // + id: that a merge was done
	channelKind = "{}watch"
)

// The three keys of a shelf, which share a slot.
const (
	shelfRows  = "h" // a hash: key to row
	shelfEnds  = "z" // a sorted set: key by end
	shelfBytes = "n" // how much the rows take
)

// names makes the keys in Redis.
type names struct {
	prefix string
	// database is in the name of the channel: a PUBLISH is heard in all of them.
	database int
}

func namesFor(prefix string, database int) names { return names{prefix + version, database} }

// place says where an entry lies.
type place struct {
	shelf *shelf
	// key is that of an entry of its own, or of its group.
	key string
	// field is the entry's in a shelf or group. In a group it may be empty.
	field string
	group bool
}

// shelf holds entries that are listed often or have to stay few: in one hash,
// ordered by end, with a cap beyond which the first to end goes.
type shelf struct {
	table   state.Table
	begins  string // what the keys of its entries begin with
	entries int
	bytes   int64
}

// shelves returns what lies together: the bans, of which each process keeps a
// copy, and the rates set by hand, which each process lists every few seconds.
// The caps are those of the embedded store.
func shelves() []*shelf {
	return []*shelf{
		{state.Ban, "", 50_000, 16 << 20},
		{state.Limit, "rate/", 50_000, 16 << 20},
	}
}

// part returns the name of one of a shelf's keys.
func (n names) part(s *shelf, part string) string {
	return n.prefix + "{" + string(s.table) + "}" + part
}

func (n names) shelf(s *shelf) []string {
	return []string{n.part(s, shelfRows), n.part(s, shelfEnds), n.part(s, shelfBytes)}
}

func (n names) counter(key string) string { return n.prefix + counterKind + key }
func (n names) merge(id string) string    { return n.prefix + mergeKind + id }
func (n names) stream(name string) string { return n.prefix + streamKind + name }

func (n names) channel() string {
	if n.database == 0 {
		return n.prefix + channelKind
	}
	return n.prefix + channelKind + strconv.Itoa(n.database)
}

func (n names) entries(t state.Table) string { return n.prefix + entryKind + string(t) + ":" }
func (n names) groups(t state.Table) string  { return n.prefix + groupKind + string(t) + ":" }

// place returns where the entry key of t lies. The rows of one message in the
// table Delivery share the text before the slash and are asked for together.
func (s *Store) place(t state.Table, key string) place {
	for _, sh := range s.shelves {
		if sh.table == t && strings.HasPrefix(key, sh.begins) {
			return place{shelf: sh, field: key}
		}
	}
	if t == state.Delivery {
		group, field := splitGroup(key)
		return place{group: true, key: s.names.groups(t) + group, field: field}
	}
	return place{key: s.names.entries(t) + key}
}

// splitGroup cuts a key before its first slash.
func splitGroup(key string) (group, field string) {
	if i := strings.IndexByte(key, '/'); i >= 0 {
		return key[:i], key[i:]
	}
	return key, ""
}

// globs escapes what SCAN takes for a pattern.
var globs = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

func startsWith(prefix string) string { return globs.Replace(prefix) + "*" }

// known is a kind of key, as stats and verify see it.
type known struct {
	kind  string // entryKind …, or a shelf's part
	table string // of entries and groups; else "counter", "merge", "stream"
	key   string
	shelf *shelf
}

// parse tells what a key in Redis is; ok is false for one that is none of ours.
func (s *Store) parse(name string) (k known, ok bool) {
	rest, ok := strings.CutPrefix(name, s.names.prefix)
	if !ok {
		return known{}, false
	}
	for kind, table := range map[string]string{counterKind: "counter", mergeKind: "merge", streamKind: "stream"} {
		if key, is := strings.CutPrefix(rest, kind); is {
			return known{kind: kind, table: table, key: key}, true
		}
	}
	for _, kind := range []string{entryKind, groupKind} {
		if tail, is := strings.CutPrefix(rest, kind); is {
			table, key, cut := strings.Cut(tail, ":")
			return known{kind: kind, table: table, key: key}, cut && s.tables[state.Table(table)]
		}
	}
	for _, sh := range s.shelves {
		part, is := strings.CutPrefix(rest, "{"+string(sh.table)+"}")
		if is && (part == shelfRows || part == shelfEnds || part == shelfBytes) {
			return known{kind: part, table: string(sh.table), shelf: sh}, true
		}
	}
	return known{}, false
}
