package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// The format, as the header says it.
const (
	Format  = "gatepost-accounts"
	Version = 1
)

// MaxLineBytes bounds one line: the longest alias has a third of it.
const MaxLineBytes = 1 << 20

// ErrFormat means that a file is none of ours, or is damaged.
var ErrFormat = errors.New("not a file of gatepost account export, or damaged")

// Kind is what a line is about.
type Kind string

// The kinds of lines.
const (
	Header      Kind = "header"
	Domain      Kind = "domain"
	User        Kind = "user"
	Alias       Kind = "alias"
	Grant       Kind = "grant"
	Posting     Kind = "posting"
	Access      Kind = "access"
	AppPassword Kind = "app_password"
	Member      Kind = "member"
	Rate        Kind = "rate"
	Key         Kind = "key"
	End         Kind = "end"
)

// Kinds lists the kinds of rows in the order of a file: each comes after what it
// needs.
func Kinds() []Kind {
	return []Kind{Domain, User, Alias, Grant, Posting, Access, AppPassword, Member, Rate, Key}
}

type headerLine struct {
	Kind    Kind   `json:"kind"`
	Format  string `json:"format"`
	Version int    `json:"version"`
}

type endLine struct {
	Kind   Kind         `json:"kind"`
	Counts map[Kind]int `json:"counts"`
	SHA256 string       `json:"sha256"`
}

type domainRow struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

type userRow struct {
	Kind      Kind             `json:"kind"`
	Addr      mailaddr.Address `json:"addr"`
	Password  plain            `json:"password,omitzero"`
	Held      bool             `json:"held,omitempty"`
	Disabled  bool             `json:"disabled,omitempty"`
	Quota     int64            `json:"quota,omitempty"`
	AllowNets []netip.Prefix   `json:"allow_nets,omitempty"`
	NoLogin   string           `json:"nologin,omitempty"`
	Services  []string         `json:"services,omitempty"`
	Expires   time.Time        `json:"expires,omitzero"`
}

type aliasRow struct {
	Kind Kind               `json:"kind"`
	Addr mailaddr.Address   `json:"addr"`
	To   []mailaddr.Address `json:"to"`
}

type grantRow struct {
	Kind Kind             `json:"kind"`
	User mailaddr.Address `json:"user"`
	As   mailaddr.Address `json:"as"`
}

type postingRow struct {
	Kind       Kind               `json:"kind"`
	Addr       mailaddr.Address   `json:"addr"`
	Rule       string             `json:"rule"`
	Moderators []mailaddr.Address `json:"moderators,omitempty"`
	Reason     string             `json:"reason,omitempty"`
}

type accessRow struct {
	Kind   Kind      `json:"kind"`
	Deny   bool      `json:"deny,omitempty"`
	Name   string    `json:"name"`
	For    string    `json:"for,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	Added  time.Time `json:"added,omitzero"`
}

type appRow struct {
	Kind     Kind             `json:"kind"`
	User     mailaddr.Address `json:"user"`
	Name     string           `json:"name"`
	Hash     plain            `json:"hash"`
	Services []string         `json:"services,omitempty"`
	Created  time.Time        `json:"created,omitzero"`
	Expires  time.Time        `json:"expires,omitzero"`
	LastUsed time.Time        `json:"last_used,omitzero"`
	LastAddr netip.Addr       `json:"last_addr,omitzero"`
}

type memberRow struct {
	Kind  Kind             `json:"kind"`
	Group string           `json:"group"`
	User  mailaddr.Address `json:"user"`
}

type rateRow struct {
	Kind   Kind             `json:"kind"`
	User   mailaddr.Address `json:"user,omitzero"`
	Group  string           `json:"group,omitempty"`
	Domain string           `json:"domain,omitempty"`
	Limit  string           `json:"limit"`
	Rate   string           `json:"rate"`
}

type keyRow struct {
	Kind  Kind   `json:"kind"`
	Name  string `json:"name"`
	Value plain  `json:"value"`
}

// plain is a secret that is written out: as a string, or where it is not UTF-8
// as {"base64":"…"}.
type plain struct{ secret.Value }

type base64Hash struct {
	Base64 []byte `json:"base64"`
}

// IsZero reports whether there is none.
func (h plain) IsZero() bool { return h.IsEmpty() }

// MarshalJSON writes the secret.
func (h plain) MarshalJSON() ([]byte, error) {
	if b := h.Reveal(); !utf8.Valid(b) {
		return json.Marshal(base64Hash{b})
	}
	return json.Marshal(string(h.Reveal()))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (h *plain) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var v base64Hash
		err := json.Unmarshal(b, &v)
		h.Value = secret.New(v.Base64)
		return err
	}
	var s string
	err := json.Unmarshal(b, &s)
	h.Value = secret.String(s)
	return err
}

// appendLine appends v as a line. Text that JSON can not carry is an error.
func appendLine(b []byte, v any) ([]byte, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return b, err
	}
	if replaced(line) {
		return b, errors.New("a text in it is not UTF-8")
	}
	if len(line) >= MaxLineBytes {
		return b, fmt.Errorf("a line of %d bytes is too long", len(line))
	}
	return append(append(b, line...), '\n'), nil
}

// replaced reports whether encoding/json put its "\ufffd" in place of bytes that
// are not UTF-8. A text that has this character itself has it unescaped.
func replaced(line []byte) bool {
	mark := []byte(`\ufffd`)
	for at := 0; ; {
		i := bytes.Index(line[at:], mark)
		if i < 0 {
			return false
		}
		at += i
		if slashes := len(line[:at]) - len(bytes.TrimRight(line[:at], `\`)); slashes%2 == 0 {
			return true
		}
		at += len(mark)
	}
}

// parseLine reads a line without its end. Only what appendLine writes is taken,
// to the byte: the sum at the end leaves no room for anything else.
func parseLine(line []byte) (any, error) {
	var tag struct {
		Kind Kind `json:"kind"`
	}
	if err := json.Unmarshal(line, &tag); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	v := emptyLine(tag.Kind)
	if v == nil {
		return nil, fmt.Errorf("%w: no kind %q", ErrFormat, tag.Kind)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	again, err := appendLine(nil, v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), line) {
		return nil, fmt.Errorf("%w: the line is not as it is written", ErrFormat)
	}
	return v, nil
}

// emptyLine returns what a line of kind k is read into, nil for none.
func emptyLine(k Kind) any {
	switch k {
	case Header:
		return new(headerLine)
	case Domain:
		return new(domainRow)
	case User:
		return new(userRow)
	case Alias:
		return new(aliasRow)
	case Grant:
		return new(grantRow)
	case Posting:
		return new(postingRow)
	case Access:
		return new(accessRow)
	case AppPassword:
		return new(appRow)
	case Member:
		return new(memberRow)
	case Rate:
		return new(rateRow)
	case Key:
		return new(keyRow)
	case End:
		return new(endLine)
	}
	return nil
}
