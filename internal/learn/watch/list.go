package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// leaves are the directories of a folder that have messages.
var leaves = [...]string{"new", "cur"}

// folderDirs returns the folders of a Maildir, "" for the inbox first.
func folderDirs(maildir string) ([]string, error) {
	entries, err := os.ReadDir(maildir)
	if err != nil {
		return nil, err
	}
	dirs := []string{""}
	for _, e := range entries {
		name, hidden := strings.CutPrefix(e.Name(), ".")
		if hidden && e.IsDir() && name != "" && len(dirs) < maxDirs { // a link is no directory here
			dirs = append(dirs, name)
		}
	}
	return dirs, nil
}

// folderPath returns the path of a folder.
func folderPath(maildir, dir string) string {
	if dir == "" {
		return maildir
	}
	return filepath.Join(maildir, "."+dir)
}

// maxFiles bounds the messages of a mailbox that are held in memory at once:
// some 80 MB. Those are the ones of a month, and all of Junk.
const maxFiles = 200_000

var errTooMany = errors.New("it has more messages of the last 30 days, or in Junk, than are compared")

// lister lists mailboxes. Of names that known has, the inode is not asked for.
type lister struct {
	folders folders
	known   map[uint64]entry
	now     time.Time
	most    int // maxFiles, but for tests
}

// list looks into the inbox and Junk, or with full into every folder.
func (of *lister) list(ctx context.Context, maildir string, full bool) (listing, error) {
	f := of.folders
	l := listing{dirs: map[uint64]class{}, full: full, files: map[uint64]found{}}
	dirs, err := folderDirs(maildir)
	if err != nil {
		return l, fmt.Errorf("read mailbox: %w", err)
	}
	for _, dir := range dirs {
		c := f.classOf(dir)
		path := folderPath(maildir, dir)
		if inode, ok := inodeOf(path); ok && dir != "" {
			l.dirs[inode] = c
		}
		if !full && c != inbox && c != junk {
			continue
		}
		for _, leaf := range leaves {
			if err := of.leaf(ctx, &l, filepath.Join(path, leaf), c); err != nil {
				return l, err
			}
		}
	}
	return l, nil
}

// leaf takes in the files of one directory. One that is not there is empty.
func (of *lister) leaf(ctx context.Context, l *listing, dir string, c class) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read mailbox: %w", err)
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, file := range names {
			of.file(l, dir, file, c)
		}
		if len(l.files) > of.most {
			return errTooMany
		}
		if errors.Is(err, io.EOF) || err == nil && len(names) == 0 {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read mailbox: %w", err)
		}
	}
}

// file takes in one file, unless it is one that is neither known nor will be
// remembered (seen.add).
func (of *lister) file(l *listing, dir, file string, c class) {
	base, flags := baseOf(file)
	if base == "" {
		return
	}
	if _, known := of.known[nameOf(base)]; !known && c != junk {
		if at := deliveredAt(base); !at.IsZero() && of.now.Sub(at) > remember {
			return
		}
	}
	name, path := nameOf(base), filepath.Join(dir, file)
	f, ok := l.files[name]
	if !ok {
		f = found{base: base, path: path, flags: flags}
		if e, ok := of.known[name]; ok {
			f.inode = e.inode
		} else {
			f.inode, _ = inodeOf(path)
		}
	} else if c.ham() {
		f.path, f.flags = path, flags
	}
	f.in = append(f.in, c)
	l.files[name] = f
}

func inodeOf(path string) (uint64, bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0, false
	}
	return st.Ino, true
}

// readMessage returns the start of a message file. A user owns the directory:
// what is no plain file is not opened for long.
func readMessage(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no plain file", path)
	}
	return io.ReadAll(io.LimitReader(f, int64(most)))
}
