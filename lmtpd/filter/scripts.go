package filter

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/script"
	"github.com/gatepost/gatepost/internal/sieve"
)

const (
	// maxScript bounds an administrator's script.
	maxScript = 1 << 20
	// maxCached bounds the sources of what is kept compiled.
	maxCached = 32 << 20
	// compilers is how many scripts are compiled at once: one of 1 MB takes up to
	// 100 MB of memory for a moment.
	compilers = 2
)

// userScripts is a *script.Store.
type userScripts interface {
	Active(user mailaddr.Address, known script.Identity) (script.Active, error)
	Read(user mailaddr.Address, name string) ([]byte, error)
}

// fileID tells one version of an administrator's script from another.
type fileID struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64
}

// included is a script that another one includes, as it was when that was
// compiled.
type included struct {
	global bool
	name   string
	// sum is that of its source, and zero where it was not there.
	sum [sha256.Size]byte
}

// compiled is a script with what tells whether it still holds.
type compiled struct {
	user     script.Identity
	global   fileID
	includes []included
	bytes    int
	// passing says that something included could not be read, for now.
	passing bool
	script  *sieve.Script
	// err says that it cannot be compiled.
	err error
}

// scripts finds scripts and keeps them compiled. It is safe for concurrent use.
type scripts struct {
	users userScripts
	slots chan struct{}

	mu    sync.Mutex // guards all below
	kept  map[string]*compiled
	bytes int
}

func newScripts(users userScripts) *scripts {
	return &scripts{users: users, slots: make(chan struct{}, compilers), kept: map[string]*compiled{}}
}

func (s *scripts) cached(key string) *compiled {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[key]
}

// keep puts c into the cache, and others out of it where it is full.
func (s *scripts) keep(key string, c *compiled, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped(key)
	if c.passing {
		return
	}
	s.kept[key] = c
	s.bytes += c.bytes
	for other := range s.kept {
		if len(s.kept) <= most && s.bytes <= maxCached {
			break
		}
		if other != key {
			s.dropped(other)
		}
	}
}

// dropped takes key out of the cache. It needs s.mu.
func (s *scripts) dropped(key string) {
	if old := s.kept[key]; old != nil {
		s.bytes -= old.bytes
		delete(s.kept, key)
	}
}

func (s *scripts) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped(key)
}

// own returns the script of user, nil where there is none. An error of a script
// that cannot be compiled is sieve.Errors.
func (s *scripts) own(cfg *Config, user mailaddr.Address) (*sieve.Script, error) {
	key := "user " + user.Folded().String()
	old := s.cached(key)
	var known script.Identity
	if old != nil && s.unchanged(cfg, user, old) {
		known = old.user
	}
	a, err := s.users.Active(user, known)
	if errors.Is(err, script.ErrNotFound) {
		s.forget(key)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if known != (script.Identity{}) && a.ID == known {
		return old.script, old.err
	}
	name := a.Name
	if name == "" {
		name = "dovecot.sieve"
	}
	c := s.compile(cfg, user, name, a.Source)
	c.user = a.ID
	s.keep(key, c, cfg.CacheScripts)
	return c.script, c.err
}

// global returns the administrator's script at path. The error of one that is
// missing satisfies errors.Is(err, fs.ErrNotExist).
func (s *scripts) global(cfg *Config, path string) (*sieve.Script, error) {
	key := "file " + path
	old := s.cached(key)
	var known fileID
	if old != nil && s.unchanged(cfg, mailaddr.Address{}, old) {
		known = old.global
	}
	src, id, err := readScript(path, known)
	if err != nil {
		s.forget(key)
		return nil, err
	}
	if known != (fileID{}) && id == known {
		return old.script, old.err
	}
	c := s.compile(cfg, mailaddr.Address{}, strings.TrimSuffix(filepath.Base(path), ".sieve"), src)
	c.global = id
	s.keep(key, c, cfg.CacheScripts)
	return c.script, c.err
}

// compile compiles src and notes what it includes.
func (s *scripts) compile(cfg *Config, user mailaddr.Address, name string, src []byte) *compiled {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	c := &compiled{bytes: len(src)}
	limits := limitsOf(cfg)
	c.script, c.err = sieve.Compile(string(src), sieve.Options{Name: name, Limits: limits, Include: func(global bool, name string) (string, error) {
		text, err := s.include(cfg, user, global, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.passing = true
			return "", err
		}
		in := included{global: global, name: name}
		if err == nil {
			in.sum = sha256.Sum256(text)
		}
		c.bytes += len(text)
		c.includes = append(c.includes, in)
		return string(text), err
	}})
	return c
}

// include returns the source of a script that another one includes.
func (s *scripts) include(cfg *Config, user mailaddr.Address, global bool, name string) ([]byte, error) {
	if !sieve.ValidName(name) {
		return nil, fs.ErrNotExist
	}
	if global {
		return cfg.global(name)
	}
	if user.IsNull() {
		return nil, fs.ErrNotExist
	}
	b, err := s.users.Read(user, name)
	if errors.Is(err, script.ErrNotFound) || errors.Is(err, script.ErrName) {
		return nil, fs.ErrNotExist
	}
	return b, err
}

// unchanged reports whether what c includes is what it was. It is read again:
// few scripts include others, and a name says nothing about its content.
func (s *scripts) unchanged(cfg *Config, user mailaddr.Address, c *compiled) bool {
	for _, in := range c.includes {
		text, err := s.include(cfg, user, in.global, in.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if in.sum != ([sha256.Size]byte{}) {
				return false
			}
		case err != nil || sha256.Sum256(text) != in.sum:
			return false
		}
	}
	return true
}

// readScript reads an administrator's script, which may be behind links. If it
// is the one that is known, nothing is read.
func readScript(path string, known fileID) ([]byte, fileID, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileID{}, fmt.Errorf("open script: %w", err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fileID{}, fmt.Errorf("stat script %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxScript {
		return nil, fileID{}, fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxScript)
	}
	id := fileID{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
	if id == known {
		return nil, id, nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxScript))
	if err != nil {
		return nil, fileID{}, fmt.Errorf("read script %s: %w", path, err)
	}
	return b, id, nil
}

// chain is what runs for one message.
type chain struct {
	scripts []*sieve.Script
	// failed says that the user's script cannot run: the message is kept after
	// the scripts before it.
	failed error
	// broken are errors of the administrator's scripts, which are left out.
	broken error
}

// chain returns the scripts for user in turn.
func (s *scripts) chain(cfg *Config, user mailaddr.Address) (c chain) {
	domain := user.Folded().Domain
	add := func(path string) bool {
		sc, err := s.global(cfg, strings.ReplaceAll(path, "%d", domain))
		switch {
		case err == nil:
			c.scripts = append(c.scripts, sc)
		case !strings.Contains(path, "%d") || !errors.Is(err, fs.ErrNotExist):
			c.broken = errors.Join(c.broken, err)
		}
		return err == nil
	}
	for _, path := range cfg.Before {
		add(path)
	}
	own, err := s.own(cfg, user)
	switch {
	case err != nil:
		c.failed = err
		return c
	case own != nil:
		c.scripts = append(c.scripts, own)
	case cfg.Default != "":
		add(cfg.Default)
	}
	for _, path := range cfg.After {
		add(path)
	}
	return c
}

// requires reports whether one of the scripts requires an extension.
func (c chain) requires(extension string) bool {
	for _, s := range c.scripts {
		for _, e := range s.Extensions() {
			if e == extension {
				return true
			}
		}
	}
	return false
}

// limitsOf returns the limits of a run.
func limitsOf(cfg *Config) sieve.Limits {
	l := sieve.DefaultLimits()
	l.Redirects, l.Actions = cfg.MaxRedirects, cfg.MaxActions
	return l
}

// Global returns the administrator's script that include :global means by name,
// for script.Checker: what is taken has to be what runs.
func (f *Filter) Global(name string) (string, error) { return f.snap.Load().Config.Global(name) }

// Global is that of a Filter with c.
func (c *Config) Global(name string) (string, error) {
	if !sieve.ValidName(name) {
		return "", fs.ErrNotExist
	}
	b, err := c.global(name)
	return string(b), err
}

// global reads the script of a valid name.
func (c *Config) global(name string) ([]byte, error) {
	if c.GlobalDirectory == "" {
		return nil, fs.ErrNotExist
	}
	b, _, err := readScript(filepath.Join(c.GlobalDirectory, name+".sieve"), fileID{})
	return b, err
}
