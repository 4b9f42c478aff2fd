package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of what others publish.
const (
	// MaxPolicyBytes bounds a policy file. One that is longer is none.
	MaxPolicyBytes = 64 << 10
	// MaxMX bounds the mx entries of a policy. One with more is none.
	MaxMX = 256
	// MaxAge is the longest time for which a policy holds (RFC 8461 §3.2).
	MaxAge = 31557600 * time.Second
	// MinAge is the shortest, whatever the policy says: nobody shall have us
	// fetch it for each mail.
	MinAge = 5 * time.Minute
	// maxID bounds the id of a record (RFC 8461 §3.1).
	maxID = 32
)

// version is what the record and the policy begin with.
const version = "STSv1"

// Mode is what a domain asks of senders (RFC 8461 §5).
type Mode string

// The modes.
const (
	// Enforce forbids delivery to a host that the policy does not name, and
	// without a certificate that is valid.
	Enforce Mode = "enforce"
	// Testing asks for reports only.
	Testing Mode = "testing"
	// None says that there is no policy any more.
	None Mode = "none"
)

// Policy is what a domain says. The zero Policy is that of a domain that says
// nothing.
type Policy struct {
	Mode Mode `json:"mode"`
	// MX are the names of hosts, in lower case; "*.example.org" is any name
	// with one label more.
	MX []string `json:"mx,omitempty"`
	// MaxAge is within the bounds MinAge and MaxAge.
	MaxAge time.Duration `json:"max_age_ns"`
}

// ErrPolicy is wrapped by the errors of ParsePolicy and ParseRecord.
var ErrPolicy = errors.New("not an MTA-STS policy")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrPolicy, fmt.Sprintf(format, args...))
}

// ParsePolicy reads a policy file (RFC 8461 §3.2). Lines end with LF or CRLF, of
// repeated fields other than mx the first counts, fields that it does not know
// are passed over.
func ParsePolicy(b []byte) (Policy, error) {
	if len(b) > MaxPolicyBytes {
		return Policy{}, malformed("longer than %d bytes", MaxPolicyBytes)
	}
	var p Policy
	first := map[string]string{}
	for line := range strings.SplitSeq(string(b), "\n") {
		line = strings.TrimRight(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return Policy{}, malformed("a line without a colon")
		}
		value = strings.TrimLeft(value, " \t")
		switch name {
		case "mx":
			pattern, err := parsePattern(value)
			if err != nil {
				return Policy{}, err
			}
			if p.MX = append(p.MX, pattern); len(p.MX) > MaxMX {
				return Policy{}, malformed("more than %d mx", MaxMX)
			}
		case "version", "mode", "max_age":
			if _, known := first[name]; !known {
				first[name] = value
			}
		}
	}
	return p.fill(first)
}

// fill takes the fields that stand once.
func (p Policy) fill(fields map[string]string) (Policy, error) {
	if fields["version"] != version {
		return Policy{}, malformed("version is not %s", version)
	}
	age := fields["max_age"]
	if age == "" || len(age) > 10 || strings.Trim(age, "0123456789") != "" {
		return Policy{}, malformed("max_age is not 1 to 10 digits")
	}
	seconds, err := strconv.ParseInt(age, 10, 64)
	if err != nil {
		return Policy{}, malformed("max_age is no number")
	}
	seconds = min(seconds, int64(MaxAge/time.Second)) // before it becomes nanoseconds
	p.MaxAge = max(time.Duration(seconds)*time.Second, MinAge)
	switch p.Mode = Mode(fields["mode"]); p.Mode {
	case None:
		p.MX = nil
	case Enforce, Testing:
		if len(p.MX) == 0 {
			return Policy{}, malformed("mode %s without mx", p.Mode)
		}
	default:
		return Policy{}, malformed("mode is not enforce, testing or none")
	}
	return p, nil
}

// parsePattern reads a host name, or one behind "*." (RFC 8461 §4.1).
func parsePattern(s string) (string, error) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if !validHost(strings.TrimPrefix(s, "*.")) {
		return "", malformed("mx is not the name of a host")
	}
	return s, nil
}

// validHost reports whether s, in lower case, is a name with a dot of letters,
// digits and inner hyphens (RFC 1123 §2.1), and no address.
func validHost(s string) bool {
	if len(s) > 253 || strings.IndexByte(s, '.') < 0 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

// ParseRecord returns the id that the TXT records at _mta-sts.DOMAIN name
// (RFC 8461 §3.1), "" if none of them speaks of a policy, or more than one.
func ParseRecord(records []string) (id string, err error) {
	found := ""
	for _, r := range records {
		if !strings.HasPrefix(r, "v="+version) || !strings.HasPrefix(strings.TrimLeft(r[2+len(version):], " \t"), ";") {
			continue
		}
		if found != "" {
			return "", malformed("more than one record")
		}
		found = r
	}
	if found == "" {
		return "", nil
	}
	for field := range strings.SplitSeq(found, ";") {
		name, value, _ := strings.Cut(strings.Trim(field, " \t"), "=")
		if name != "id" {
			continue
		}
		if value == "" || len(value) > maxID || strings.Trim(value, alnum) != "" {
			return "", malformed("id is not 1 to %d letters and digits", maxID)
		}
		return value, nil
	}
	return "", malformed("a record without id")
}

const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
