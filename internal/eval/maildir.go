package eval

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// ReadFolders makes an index of two Maildir folders, or directories with a
// message a file, in the order in which the messages arrived.
func ReadFolders(spam, ham string) ([]Item, error) {
	items, err := readFolder(nil, spam, true)
	if err != nil {
		return nil, err
	}
	if items, err = readFolder(items, ham, false); err != nil {
		return nil, err
	}
	for i := range items {
		raw, mod, err := read(items[i].Path, headBytes)
		if err != nil {
			return nil, err
		}
		items[i].Arrived = arrival(raw, mod)
	}
	sort.SliceStable(items, func(a, b int) bool {
		x, y := items[a], items[b]
		if !x.Arrived.Equal(y.Arrived) {
			return x.Arrived.Before(y.Arrived)
		}
		return filepath.Base(x.Path) < filepath.Base(y.Path)
	})
	return items, nil
}

// readFolder appends the messages of a folder: those in new and cur, or, where
// there is neither, those in the directory itself.
func readFolder(items []Item, dir string, spam bool) ([]Item, error) {
	found := false
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = true
		items = appendFiles(items, filepath.Join(dir, sub), entries, spam)
	}
	if !found {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		items = appendFiles(items, dir, entries, spam)
	}
	if len(items) > maxItems {
		return nil, fmt.Errorf("%s: more than %d messages", dir, maxItems)
	}
	return items, nil
}

// appendFiles leaves out what a server keeps beside messages: names with a dot
// in front, and Dovecot's files.
func appendFiles(items []Item, dir string, entries []os.DirEntry, spam bool) []Item {
	for _, e := range entries {
		name := e.Name()
		if !e.Type().IsRegular() || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "dovecot") || name == "maildirfolder" {
			continue
		}
		items = append(items, Item{Spam: spam, Path: filepath.Join(dir, name)})
	}
	return items
}
