package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// suffix ends the name of a key file.
const suffix = ".pem"

// maxFile bounds a key file, in octets.
const maxFile = 64 << 10

// Bounds of the keys of one domain: maxKeys can sign, each of them is one
// signature; maxStored are kept in all states.
const (
	maxKeys   = 4
	maxStored = 32
)

// Fault is one thing that is wrong with the keys.
type Fault struct {
	// Path is the file or directory.
	Path string
	// Text says what is wrong with it.
	Text string
	// Fix is the shell command that mends it, "" where none does.
	Fix string
}

// Error returns "PATH: TEXT (mend it with: FIX)".
func (f *Fault) Error() string {
	s := f.Path + ": " + f.Text
	if f.Fix != "" {
		s += " (mend it with: " + f.Fix + ")"
	}
	return s
}

// readAll reads every key below dir and the states, or returns all faults.
func readAll(dir string) (all []Key, states map[string]*index, err error) {
	var faults []error
	states = make(map[string]*index)
	if err := checkDir(dir); err != nil {
		faults = append(faults, err)
	}
	domains, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fault(dir, err)
	}
	for _, e := range domains {
		if strings.HasPrefix(e.Name(), ".") || e.Name() == "lost+found" {
			continue
		}
		keys, x, errs := readDomain(filepath.Join(dir, e.Name()))
		all, states[e.Name()] = append(all, keys...), x
		faults = append(faults, errs...)
	}
	if len(faults) > 0 {
		return nil, nil, errors.Join(faults...)
	}
	return all, states, nil
}

// readDomain reads the keys of one domain's directory, and their states.
func readDomain(dir string) (all []Key, x *index, faults []error) {
	domain := filepath.Base(dir)
	if d, err := cleanDomain(domain); err != nil {
		return nil, nil, []error{&Fault{Path: dir, Text: "not the name of a domain"}}
	} else if d != domain {
		return nil, nil, []error{&Fault{Path: dir, Text: "domain is not in lower case",
			Fix: "mv " + shell(dir) + " " + shell(filepath.Join(filepath.Dir(dir), d))}}
	}
	if err := checkDir(dir); err != nil {
		faults = append(faults, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, append(faults, fault(dir, err))
	}
	x, there, err := readIndex(dir)
	unread := err != nil
	if unread {
		x, faults = &index{}, append(faults, err)
	}
	var signing []Key
	marked := make(map[string]bool)
	for _, e := range files {
		selector, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if s, err := cleanSelector(selector); err != nil || s != selector {
			faults = append(faults, &Fault{Path: path, Text: "not the name of a selector in lower case"})
			continue
		}
		k, ours, err := readKey(path, domain, selector)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all, marked[selector] = append(all, k), ours
		if e := x.of(selector); e.State == Active {
			k.Since = e.Since
			signing = append(signing, k)
		}
	}
	if unread {
		return all, x, faults
	}
	faults = append(faults, resurrected(x, all)...)
	if err := lost(dir, x, there, all, marked); err != nil {
		return all, x, append(faults, err)
	}
	if len(signing) > maxKeys {
		faults = append(faults, tooMany(dir, signing))
	}
	if len(all) > maxStored {
		faults = append(faults, &Fault{Path: dir, Text: fmt.Sprintf("%d keys, at most %d can be kept: those that are revoked can go, with their states", len(all), maxStored)})
	}
	return all, x, faults
}

// readKey reads one file after it has looked at who else may read it. Both
// are done on the open file, so that it cannot be swapped in between. ours says
// that we wrote it.
func readKey(path, domain, selector string) (k Key, ours bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Key{}, false, fault(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Key{}, false, fault(path, err)
	}
	if !info.Mode().IsRegular() {
		return Key{}, false, &Fault{Path: path, Text: "not a regular file"}
	}
	if err := checkOwner(path, info); err != nil {
		return Key{}, false, err
	}
	if m := info.Mode().Perm(); m&0o077 != 0 {
		return Key{}, false, &Fault{Path: path, Text: fmt.Sprintf("mode %04o lets others at a private key", m), Fix: "chmod 0600 " + shell(path)}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Key{}, false, fault(path, err)
	}
	if len(b) > maxFile {
		return Key{}, false, &Fault{Path: path, Text: errKey.Error()}
	}
	signer, err := parsePEM(b)
	if err != nil {
		return Key{}, false, &Fault{Path: path, Text: err.Error()}
	}
	return newKey(domain, selector, path, signer), isMarked(b), nil
}

// checkDir refuses a directory in which someone else may put files.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fault(dir, err)
	}
	if !info.IsDir() {
		return &Fault{Path: dir, Text: "not a directory"}
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	if m := info.Mode().Perm(); m&0o022 != 0 {
		return &Fault{Path: dir, Text: fmt.Sprintf("mode %04o lets others put keys here", m), Fix: "chmod 0700 " + shell(dir)}
	}
	return nil
}

// checkOwner refuses what is neither ours nor root's. Root, who only looks at
// the keys of the user that will run, may read anyone's.
func checkOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	uid := os.Geteuid()
	if !ok || uid == 0 || st.Uid == 0 || int(st.Uid) == uid {
		return nil
	}
	return &Fault{Path: path, Text: fmt.Sprintf("belongs to user %d, not to user %d", st.Uid, uid),
		Fix: fmt.Sprintf("chown %d %s", uid, shell(path))}
}

// fault wraps an error of the system; for one of rights it knows the cure.
func fault(path string, err error) error {
	f := &Fault{Path: path, Text: err.Error()}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		f.Text = pe.Err.Error()
	}
	if errors.Is(err, fs.ErrPermission) {
		f.Fix = fmt.Sprintf("chown %d %s", os.Geteuid(), shell(path))
		if info, serr := os.Stat(path); serr == nil {
			f.Text += fmt.Sprintf(" (mode %04o)", info.Mode().Perm())
		}
	}
	return f
}

// shell quotes s for a shell where that is needed.
func shell(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
