package tail

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Source is one log of a foreign program. It has a File or a Journal.
type Source struct {
	// Name is in our log and in the file of places.
	Name string `yaml:"name"`
	// Preset is sshd, roundcube or sogo: patterns of ours. Else Patterns are.
	Preset string `yaml:"preset"`
	File   string `yaml:"file"`
	// Journal are systemd units, such as ssh.service.
	Journal []string `yaml:"journal"`
	// Programs are the names in the header of syslog; none: a line has no such
	// header, the patterns take it whole.
	Programs []string `yaml:"programs"`
	Patterns []string `yaml:"patterns"`
	// Service is what the guard is told: ssh, web or another word.
	Service string    `yaml:"service"`
	Mode    unit.Mode `yaml:"mode"`
}

// Config has the settings of all logs.
type Config []Source

// Bounds of settings.
const (
	maxSources      = 20
	maxPatterns     = 20
	maxPatternBytes = 1024
)

var (
	word     = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,30}$`)
	unitName = regexp.MustCompile(`^[A-Za-z0-9_@.:*][A-Za-z0-9_@.:*\\-]{0,200}$`)
)

// Validate returns all faults of c. It looks at no file.
func (c Config) Validate() error {
	var errs []error
	if len(c) > maxSources {
		errs = append(errs, config.Invalid("", "%d logs, at most %d", len(c), maxSources))
	}
	for i, s := range c {
		err := s.validate()
		if slices.ContainsFunc(c[:i], func(o Source) bool { return o.Name == s.Name }) {
			err = errors.Join(err, config.Invalid("name", "%q is there twice", s.Name))
		}
		errs = append(errs, config.Under(fmt.Sprintf("[%d]", i), err))
	}
	return errors.Join(errs...)
}

func (s Source) validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	if !word.MatchString(s.Name) {
		bad("name", "%q is not a word of small letters, digits, - and _", s.Name)
	}
	if s.Mode != "" && s.Mode != unit.Off && s.Mode != unit.Observe && s.Mode != unit.Enforce {
		bad("mode", "%q is not a mode: use off, observe or enforce", string(s.Mode))
	}
	switch {
	case (s.File == "") == (len(s.Journal) == 0):
		bad("file", "name either a file or units of the journal")
	case s.File != "" && !filepath.IsAbs(s.File):
		bad("file", "%q does not begin with /", s.File)
	}
	for i, u := range s.Journal {
		if !unitName.MatchString(u) {
			bad(fmt.Sprintf("journal[%d]", i), "%q is not a unit such as ssh.service", u)
		}
	}
	p, known := presets()[s.Preset]
	switch {
	case s.Preset != "" && !known:
		bad("preset", "%q is not one of roundcube, sogo, sshd", s.Preset)
	case s.Preset != "" && len(s.Patterns) > 0:
		bad("patterns", "a preset has its own: leave one of the two out")
	case s.Preset != "" && len(p.programs) == 0 && s.File == "":
		bad("preset", "%q is for a file", s.Preset)
	case s.Preset == "" && len(s.Patterns) == 0:
		bad("patterns", "there is none, and no preset")
	}
	if s.Service == "" && s.Preset == "" || s.Service != "" && !word.MatchString(s.Service) {
		bad("service", "%q is not a word such as ssh or web", s.Service)
	}
	if len(s.Patterns) > maxPatterns {
		bad("patterns", "%d of them, at most %d", len(s.Patterns), maxPatterns)
	}
	for i, text := range s.Patterns {
		if _, err := compile(text); err != nil {
			bad(fmt.Sprintf("patterns[%d]", i), "%v", err)
		}
	}
	for i, name := range s.Programs {
		if name == "" || strings.ContainsAny(name, " \t:[]") {
			bad(fmt.Sprintf("programs[%d]", i), "%q is not the name of a program in syslog", name)
		}
	}
	return errors.Join(errs...)
}

// resolved is a Source with what its preset says.
type resolved struct {
	Source
	patterns []*pattern
}

func (s Source) resolve() (resolved, error) {
	r := resolved{Source: s}
	texts := s.Patterns
	if p, ok := presets()[s.Preset]; ok {
		texts = p.patterns
		if len(r.Programs) == 0 {
			r.Programs = p.programs
		}
		if r.Service == "" {
			r.Service = p.service
		}
	}
	if r.Mode == "" {
		r.Mode = unit.Enforce
	}
	for _, text := range texts {
		p, err := compile(text)
		if err != nil {
			return r, fmt.Errorf("watch_logs %s: %w", s.Name, err)
		}
		r.patterns = append(r.patterns, p)
	}
	return r, nil
}
