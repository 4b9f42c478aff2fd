package torture

import (
	"fmt"
	"path/filepath"
	"strings"
)

// inode is a file, or a directory where entries is not nil.
type inode struct {
	data string
	// syncs is how much of data each sync has put on the disk, judged what was
	// found out about so much of it.
	syncs   []synced
	judged  map[int]judgement
	entries map[string]*inode
	// synced are the entries of a directory at its last sync.
	synced map[string]*inode
}

// judgement is which message a file is, and whether it is whole.
type judgement struct {
	number int
	whole  bool
}

// synced is a sync of a file that ended as the event of that number.
type synced struct{ ended, size int }

func newDir() *inode {
	return &inode{entries: make(map[string]*inode), synced: make(map[string]*inode)}
}

// disk is the file system below the mail root.
type disk struct {
	root string
	top  *inode
}

func newDisk(root string) *disk { return &disk{root: root, top: newDir()} }

// at returns the directory above path, and the last name.
func (d *disk) at(path string) (*inode, string, error) {
	rel, err := filepath.Rel(d.root, path)
	if err != nil {
		return nil, "", err
	}
	parts := strings.Split(rel, "/")
	dir := d.top
	for _, p := range parts[:len(parts)-1] {
		if dir = dir.entries[p]; dir == nil || dir.entries == nil {
			return nil, "", fmt.Errorf("%s: no directory %s", path, p)
		}
	}
	return dir, parts[len(parts)-1], nil
}

func (d *disk) find(path string) (*inode, error) {
	if path == d.root {
		return d.top, nil
	}
	dir, name, err := d.at(path)
	if err != nil {
		return nil, err
	}
	if dir.entries[name] == nil {
		return nil, fmt.Errorf("%s is not there", path)
	}
	return dir.entries[name], nil
}

// apply does to the names what e, the event at i, did. A file that it makes is
// taken from files, or put there.
func (d *disk) apply(e event, i int, files map[int]*inode) error {
	if e.verb == fsync || e.verb == answer || e.verb == write {
		return nil
	}
	dir, name, err := d.at(e.path)
	if err != nil {
		return err
	}
	switch e.verb {
	case create:
		if dir.entries[name] == nil { // else it was opened
			if files[i] == nil {
				files[i] = &inode{}
			}
			dir.entries[name] = files[i]
		}
		return nil
	case makeDir:
		dir.entries[name] = newDir()
		return nil
	case unlink:
		delete(dir.entries, name)
		return nil
	}
	to, toName, err := d.at(e.to)
	if err != nil {
		return err
	}
	to.entries[toName] = dir.entries[name]
	if e.verb == move {
		delete(dir.entries, name)
	}
	return nil
}

// Replay holds every moment of a recording against the answers given by then,
// and returns what is wrong and how many states of the disk were looked at.
//
// For a power cut behind event k, ext4 with data=ordered has the names as they
// were at some moment between the start of the last sync that ended and k: its
// journal keeps the order. The harsh rule has each directory as it was at its
// own last sync, whatever else was synced. In both a file holds what was synced
// of it and nothing more.
func Replay(events []event, root string, seed uint64) (states int, faults []string, err error) {
	answers := make(map[[2]string]string) // number and user: when
	note := func(k int, rule, what string) {
		if len(faults) < maxFaults {
			faults = append(faults, fmt.Sprintf("cut behind event %d, %s: %s", k, rule, what))
		}
	}
	files, err := resolve(events, root)
	if err != nil {
		return 0, nil, err
	}
	floor := 0
	for k := range len(events) + 1 {
		if k > 0 {
			switch e := events[k-1]; e.verb {
			case fsync:
				floor = max(floor, e.began)
			case answer:
				answers[[2]string{fmt.Sprint(e.number), e.user}] = fmt.Sprint(k)
			}
		}
		for j := floor; j <= k; j++ {
			d, err := names(events, root, files, j)
			if err != nil {
				return states, faults, err
			}
			states++
			for _, f := range lost(d.top, k, answers, seed, false) {
				note(k, fmt.Sprintf("names of event %d", j), f)
			}
			if j < k {
				continue
			}
			states++
			for _, f := range lost(d.top, k, answers, seed, true) {
				note(k, "each directory as it was synced", f)
			}
		}
	}
	return states, faults, nil
}

// resolve runs through the whole recording once and returns the files by the
// event that made them, with all that was written and synced.
func resolve(events []event, root string) (map[int]*inode, error) {
	files := make(map[int]*inode)
	d := newDisk(root)
	for i, e := range events {
		if err := d.apply(e, i, files); err != nil {
			return nil, err
		}
		if e.verb != write && e.verb != fsync {
			continue
		}
		f, err := d.find(e.path)
		if err != nil {
			return nil, err
		}
		switch {
		case e.verb == write:
			f.data += e.data
		case f.entries == nil:
			f.syncs = append(f.syncs, synced{ended: i + 1, size: len(f.data)})
		}
	}
	return files, nil
}

// names returns the disk with the names of the first j events.
func names(events []event, root string, files map[int]*inode, j int) (*disk, error) {
	d := newDisk(root)
	for i, e := range events[:j] {
		if err := d.apply(e, i, files); err != nil {
			return nil, err
		}
		if e.verb != fsync {
			continue
		}
		if f, err := d.find(e.path); err == nil && f.entries != nil {
			settle(events, f, e, i)
		}
	}
	return d, nil
}

// settle makes durable what the directory f held when the sync e began: what
// other threads did while it ran need not be in it, unless a shorter sync of
// another has seen to it.
func settle(events []event, f *inode, e event, at int) {
	before := f.synced
	f.synced = make(map[string]*inode)
	for name, child := range f.entries {
		f.synced[name] = child
	}
	for _, later := range events[e.began:at] {
		made := later.path
		if later.verb == move || later.verb == link {
			made = later.to
		}
		name := filepath.Base(made)
		if later.verb != unlink && filepath.Dir(made) == e.path && (before[name] == nil || before[name] != f.entries[name]) {
			delete(f.synced, name)
		}
	}
}

// safe returns what is on the disk of a file behind event k.
func (f *inode) safe(k int) string {
	size := 0
	for _, s := range f.syncs {
		if s.ended <= k {
			size = s.size
		}
	}
	return f.data[:size]
}

// lost returns what is wrong with the mailboxes: a message that was answered
// and is not there once and whole, and any file in new or cur that is not whole.
func lost(top *inode, k int, answers map[[2]string]string, seed uint64, harsh bool) (faults []string) {
	entries := func(dir *inode) map[string]*inode {
		switch {
		case dir == nil:
			return nil
		case harsh:
			return dir.synced
		}
		return dir.entries
	}
	seen := make(map[[2]string]int)
	for user, home := range entries(entries(top)[domain]) {
		box := entries(home)["Maildir"]
		for _, sub := range []string{"new", "cur"} {
			for name, f := range entries(entries(box)[sub]) {
				m := f.judge(k, seed)
				if !m.whole {
					faults = append(faults, fmt.Sprintf("%s/%s/%s is not whole: %d bytes", user, sub, name, len(f.safe(k))))
				}
				seen[[2]string{fmt.Sprint(m.number), user}]++
			}
		}
	}
	for m, when := range answers {
		if seen[m] != 1 {
			faults = append(faults, fmt.Sprintf("message %s for %s, answered at event %s, is there %d times", m[0], m[1], when, seen[m]))
		}
	}
	return faults
}

// judge tells of what is on the disk of a file behind event k.
func (f *inode) judge(k int, seed uint64) judgement {
	file := f.safe(k)
	if m, ok := f.judged[len(file)]; ok {
		return m
	}
	m := judgement{number: -1}
	if n, content, err := numberOf([]byte(file)); err == nil {
		want := onDisk(newMail(seed, n, arrivalOf(content), users).content(seed))
		m = judgement{number: n, whole: string(content) == string(want)}
	}
	if f.judged == nil {
		f.judged = make(map[int]judgement)
	}
	f.judged[len(file)] = m
	return m
}
