package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Step is one thing that a restore does, or leaves to a person.
type Step struct {
	// Do is put, aside, same or yours.
	Do   string `json:"do"`
	From string `json:"from,omitempty"`
	To   string `json:"to"`
}

// What a Step does.
const (
	// Put copies From, in the set, to To.
	Put = "put"
	// Aside renames From to To.
	Aside = "aside"
	// Same leaves To, which is what the set has.
	Same = "same"
	// Yours is a file outside of the directories that a restore writes to: From
	// is to be copied to To by hand.
	Yours = "yours"
)

// Plan returns what Restore will do, and touches nothing. With ErrNotEmpty it
// returns the plan that Force would follow.
func (s *Set) Plan(ctx context.Context, place Place, now time.Time) ([]Step, error) {
	r, err := s.restorer(place, now)
	if err != nil {
		return nil, err
	}
	if r.root != nil {
		defer r.root.Close()
	}
	return r.plan(ctx)
}

func (r *restorer) plan(ctx context.Context) (steps []Step, err error) {
	there, err := r.there()
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	in := func(names ...string) string {
		return filepath.Join(append([]string{r.place.DataDirectory}, names...)...)
	}
	for _, name := range there {
		steps = append(steps, Step{Aside, in(name), in(r.aside, name)})
	}
	var full []string
	if len(there) > 0 {
		full = append(full, r.place.DataDirectory)
	}
	for _, name := range r.tops() {
		steps = append(steps, Step{Put, filepath.Join(r.set.Dir, dataDir, name), in(name)})
	}
	for _, f := range r.others() {
		do, err := r.other(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("restore: %w", err)
		}
		to := r.target(f)
		if do == Aside {
			full = append(full, to)
			steps = append(steps, Step{Aside, to, r.asideOf(to)})
			do = Put
		}
		steps = append(steps, Step{do, filepath.Join(r.set.Dir, filepath.FromSlash(f.Path)), to})
	}
	if len(full) > 0 && !r.place.Force {
		return steps, fmt.Errorf("%s: %w", strings.Join(full, ", "), ErrNotEmpty)
	}
	return steps, nil
}

// there lists what a restore has to move aside.
func (r *restorer) there() (names []string, err error) {
	if r.root == nil {
		return nil, nil
	}
	all, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		switch name := e.Name(); {
		case name == "lock", name == "lost+found", name == unfinished, strings.HasPrefix(name, stagePrefix), strings.HasPrefix(name, asidePrefix):
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// tops lists the entries of the data directory in the set.
func (r *restorer) tops() []string {
	tops := map[string]bool{}
	for _, f := range r.set.Manifest.Files {
		if rel, ok := strings.CutPrefix(f.Path, dataDir+"/"); ok {
			name, _, _ := strings.Cut(rel, "/")
			tops[name] = true
		}
	}
	return slices.Sorted(maps.Keys(tops))
}

// others lists the files that are not in the data directory.
func (r *restorer) others() (all []File) {
	if r.place.Config == "" {
		return nil
	}
	for _, f := range r.set.Manifest.Files {
		if !strings.HasPrefix(f.Path, dataDir+"/") {
			all = append(all, f)
		}
	}
	return all
}

// target is where a file goes: the configuration where it is now, the files
// beside it with it.
func (r *restorer) target(f File) string {
	if strings.HasPrefix(f.Path, configDir+"/") {
		return r.place.Config
	}
	if rel, ok := strings.CutPrefix(f.Target, filepath.Dir(r.set.Manifest.Config)+"/"); ok {
		return filepath.Join(filepath.Dir(r.place.Config), rel)
	}
	return f.Target
}

// other says what to do with a file that is not in the data directory.
func (r *restorer) other(ctx context.Context, f File) (string, error) {
	to := r.target(f)
	dir := filepath.Dir(r.place.Config)
	rel, inside := strings.CutPrefix(to, dir+"/")
	if to != r.place.Config && filepath.Dir(dir) == "/" { // such as /etc, which is nobody's own
		inside = false
	}
	if !inside {
		if sameFile(ctx, "/", strings.TrimPrefix(to, "/"), f) {
			return Same, nil
		}
		return Yours, nil
	}
	if sameFile(ctx, dir, rel, f) {
		return Same, nil
	}
	if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
		return Put, nil
	} else if err != nil {
		return "", err
	}
	return Aside, nil
}

// sameFile reports whether a file has the text that the manifest tells.
func sameFile(ctx context.Context, dir, rel string, f File) bool {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer r.Close()
	sum, err := sumOf(ctx, r, rel, f.Size, func(int64) {})
	return err == nil && sum == f.SHA256
}

func (r *restorer) asideOf(path string) string { return path + "." + asidePrefix + r.stamp }
