package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// staged are the files beside the data directory that lie next to their places,
// under other names.
type staged []stagedFile

type stagedFile struct {
	dir        *os.Root
	temp, name string
	to         string
	aside      bool
}

// stageOthers writes the configuration and the files beside it next to their
// places. All of them lie below the directory of the configuration.
func (r *restorer) stageOthers(ctx context.Context) (all staged, err error) {
	for _, f := range r.others() {
		do, err := r.other(ctx, f)
		if err != nil {
			return all, err
		}
		if do != Put && do != Aside {
			continue
		}
		s, err := r.stageOther(ctx, f)
		if err != nil {
			return all, err
		}
		s.aside = do == Aside
		all = append(all, s)
	}
	return all, nil
}

func (r *restorer) stageOther(ctx context.Context, f File) (s stagedFile, err error) {
	base := filepath.Dir(r.place.Config)
	s.to = r.target(f)
	rel, ok := strings.CutPrefix(s.to, base+"/")
	if !ok {
		return s, fmt.Errorf("%s is not below %s", s.to, base)
	}
	if err := os.Mkdir(base, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return s, err
	}
	if s.dir, err = os.OpenRoot(base); err != nil {
		return s, err
	}
	s.name, s.temp = rel, rel+"."+asidePrefix+r.stamp+".new"
	if err = r.otherDirs(s.dir, filepath.Dir(rel)); err == nil {
		err = copyFile(ctx, r.set.root, f, s.dir, s.temp, nil, func(int64) {})
	}
	if err == nil && r.place.UID >= 0 {
		own := r.ownerOf(f)
		err = s.dir.Lchown(s.temp, own.uid, own.gid)
	}
	if err == nil && f.Mode != 0 {
		err = s.dir.Chmod(s.temp, os.FileMode(f.Mode&0o644))
	}
	if err != nil {
		return s, errors.Join(err, gone(s.dir.Remove(s.temp)), s.dir.Close())
	}
	return s, nil
}

// otherDirs makes the directories that are missing, which the mail user may
// enter.
func (r *restorer) otherDirs(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if err := r.otherDirs(root, filepath.Dir(dir)); err != nil {
		return err
	}
	err := root.Mkdir(dir, 0o750)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && r.place.UID >= 0 {
		err = root.Lchown(dir, 0, r.place.GID)
	}
	return err
}

// ownerOf returns the owner that a file had, by name: numbers differ from host
// to host. A user that is not here is root, a group that of the mail.
func (r *restorer) ownerOf(f File) owner {
	own := owner{0, r.place.GID}
	if u, err := user.Lookup(f.Owner); err == nil {
		if id, err := strconv.Atoi(u.Uid); err == nil {
			own.uid = id
		}
	}
	if g, err := user.LookupGroup(f.Group); err == nil {
		if id, err := strconv.Atoi(g.Gid); err == nil {
			own.gid = id
		}
	}
	return own
}

// drop removes them again.
func (all staged) drop() error {
	var errs []error
	for _, s := range all {
		errs = append(errs, gone(s.dir.Remove(s.temp)), s.dir.Close())
	}
	return errors.Join(errs...)
}

// commit gives each its name, and moves what has it aside. A second name first,
// so that the configuration is never missing.
func (all staged) commit(r *restorer) error {
	var errs []error
	for _, s := range all {
		var err error
		if s.aside {
			err = s.dir.Link(s.name, s.name+"."+asidePrefix+r.stamp)
		}
		if err == nil {
			err = s.dir.Rename(s.temp, s.name)
		}
		if err == nil {
			err = syncIn(s.dir, filepath.Dir(s.name))
		}
		if err != nil {
			err = fmt.Errorf("the data is in place, %s is not: %w", s.to, err)
		}
		errs = append(errs, err, s.dir.Close())
	}
	return errors.Join(errs...)
}
