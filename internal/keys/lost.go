package keys

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// marker is the last line of the key files that we write: text behind the block
// (RFC 7468 §2), as OpenDKIM wants the block to be first. Such a key has a state,
// whatever happened to the file that tells it: the line goes with the key into
// every backup.
const marker = "gatepost: " + statesFile + " beside this file says what this key does\n"

// copyFile is the copy of an index, for who deletes statesFile.
const copyFile = statesFile + ".copy"

// lost returns the fault of keys whose state is gone, nil when none is. To take
// them for active could sign with a key that was revoked: those that have our
// marker without a state, and without an index all of several keys of one
// algorithm, of which a rotation may have made the second. there says whether
// there is an index; marked has the selectors with a marker.
func lost(dir string, x *index, there bool, all []Key, marked map[string]bool) error {
	var names []string
	count := make(map[Algorithm]int)
	for _, k := range all {
		count[k.Algorithm]++
	}
	for _, k := range all {
		_, known := x.Keys[k.Selector]
		if !known && (marked[k.Selector] || !there && count[k.Algorithm] > 1) {
			names = append(names, k.Selector)
		}
	}
	if names == nil {
		return nil
	}
	path := filepath.Join(dir, statesFile)
	text := "is missing, and it alone knows"
	if there {
		text = "does not say"
	}
	return &Fault{Path: path, Text: text + " which of these keys sign: " + strings.Join(names, " "), Fix: remedy(dir, x, names)}
}

// remedy returns the command that mends a lost index: with the copy when that
// knows the names, else with an index in which all of them wait for a person, so
// that none signs.
func remedy(dir string, x *index, names []string) string {
	path, kept := filepath.Join(dir, statesFile), filepath.Join(dir, copyFile)
	if b, err := os.ReadFile(kept); err == nil {
		c, err := parseIndex(b)
		if err == nil && !slices.ContainsFunc(names, func(n string) bool { _, known := c.Keys[n]; return !known }) {
			return "cp -p " + shell(kept) + " " + shell(path)
		}
	}
	n := x.clone()
	for _, name := range names {
		n.Keys[name] = entry{State: Pending, Held: true}
	}
	b, err := json.Marshal(n)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("(umask 077; printf '%%s\\n' %s >%s)", shell(string(b)), shell(path))
}

// resurrected returns the faults of key files that come from a backup: a key
// that was taken away must not sign again.
func resurrected(x *index, all []Key) (faults []error) {
	for _, k := range all {
		if e, known := x.Keys[k.Selector]; known && e.State == removed {
			faults = append(faults, &Fault{Path: k.Path, Text: "this key was removed, and is not to sign again", Fix: "rm " + shell(k.Path)})
		}
	}
	return faults
}

// tooMany is the fault of more keys that sign than may; the newest stay.
func tooMany(dir string, signing []Key) error {
	var gone []string
	slices.SortStableFunc(signing, func(a, b Key) int { return a.Since.Compare(b.Since) })
	for _, k := range signing[:len(signing)-maxKeys] {
		gone = append(gone, "mv "+shell(k.Path)+" "+shell(k.Path+".unused"))
	}
	return &Fault{Path: dir, Text: fmt.Sprintf("%d keys, at most %d can sign: those that are too many have to go, for example the oldest", len(signing), maxKeys),
		Fix: strings.Join(gone, " && ")}
}

// isMarked reports whether a key file has our marker.
func isMarked(text []byte) bool { return bytes.HasSuffix(text, []byte("\n"+marker)) }
