package script

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/sieve"
)

// Checker compiles scripts before they are kept.
type Checker struct {
	// Store has the personal scripts that others include; nil knows none.
	Store *Store
	// Extensions are those that scripts may require; nil is all.
	Extensions []string
	// Global returns an administrator's script for include :global; nil knows
	// none. The error of one that is not there satisfies
	// errors.Is(err, fs.ErrNotExist).
	Global func(name string) (string, error)
}

// Check compiles src as the script name of user. The error has all faults with
// their lines (sieve.Errors). A personal script that is included and not there
// is a warning: it may be the next one to be put.
func (c *Checker) Check(user mailaddr.Address, name string, src []byte) (warnings []string, err error) {
	_, warnings, err = c.Compile(user, name, src)
	return warnings, err
}

// Compile is Check, and returns the script. What is included and not there does
// nothing in it.
func (c *Checker) Compile(user mailaddr.Address, name string, src []byte) (s *sieve.Script, warnings []string, err error) {
	include := func(global bool, other string) (string, error) {
		if global {
			if c.Global == nil {
				return "", fs.ErrNotExist
			}
			return c.Global(other)
		}
		text, err := c.personal(user, other)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrName) {
			warnings = append(warnings, fmt.Sprintf("included script %q is not there yet", other))
			return "", nil
		}
		return string(text), err
	}
	s, err = sieve.Compile(string(src), sieve.Options{Name: name, Extensions: c.Extensions, Include: include})
	return s, warnings, err
}

func (c *Checker) personal(user mailaddr.Address, name string) ([]byte, error) {
	if c.Store == nil {
		return nil, ErrNotFound
	}
	return c.Store.Read(user, name)
}
