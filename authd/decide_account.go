package authd

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// accountRules are what an account's own rules say of one login. At most the
// first that is set is told.
type accountRules struct {
	disabled bool
	// noLogin is why nobody may log in, empty where one may.
	noLogin string
	expired bool
	// closed names a service that the account does not have.
	closed string
	held   bool
}

// rulesOf looks at the rules of u for a login of now. An account that is held
// may send where the policy server holds its mail.
func rulesOf(u account.User, service string, heldSubmits bool, now time.Time) accountRules {
	r := accountRules{disabled: u.Disabled, noLogin: u.NoLogin, expired: u.Expired(now), held: u.Held && !heldSubmits}
	if !u.AllowsService(service) {
		r.closed = account.ServiceOf(service)
	}
	return r
}

// What the user is told behind the right password.
const (
	textDisabled = "this account is disabled, please ask your postmaster"
	textHeld     = "this account may not send mail at present, please ask your postmaster"
	textExpired  = "this account has expired, please ask your postmaster"
	textClosed   = "this account may not use %s, please ask your postmaster"
)

// decideAccount returns the answer to the right password.
func decideAccount(f facts) outcome {
	switch r := f.account; {
	case r.disabled:
		return shut(f, "disabled", textDisabled, "user_disabled")
	case r.noLogin != "":
		return shut(f, "nologin", r.noLogin, "")
	case r.expired:
		return refuse(f, "expired", textExpired, "pass_expired")
	case r.closed != "":
		return shut(f, "service", fmt.Sprintf(textClosed, r.closed), "")
	case r.held && f.sending():
		return refuse(f, "held", textHeld, "")
	}
	return outcome{verdict: verdictOK, ok: true, params: []param{{key: "user", value: f.user}}}
}

// shut refuses the right password for a reason that is the account's. Dovecot
// tells the user so; Postfix would take an OK with nologin for success.
func shut(f facts, rule, text, code string) outcome {
	if f.kind == Client || f.service == "smtp" {
		return refuse(f, rule, text, code)
	}
	return outcome{verdict: verdictRefused, rule: rule, ok: true, reason: text, params: []param{
		{key: "user", value: f.user}, {key: "nologin", flag: true}, {key: "reason", value: text},
	}}
}

// ruleAppOnly is the rule of a main password that is no way in.
const ruleAppOnly = "app_passwords_only"

// appFits reports whether an app password is good for a service now. Whether it
// is the right one is another question.
func appFits(p account.AppPassword, service string, now time.Time) bool {
	return p.AllowsService(service) && !p.Expired(now)
}

// clientAddr returns whom a login counts for: the address that the peer forwards
// only where it is from a proxy of ours, else the one that is connected.
func clientAddr(c client, trusted []netaddr.Prefix) netip.Addr {
	if !c.realAddr.IsValid() || c.realAddr == c.addr {
		return c.addr
	}
	if slices.ContainsFunc(trusted, func(p netaddr.Prefix) bool { return p.Contains(c.realAddr) }) {
		return c.addr
	}
	return c.realAddr
}

// accountName returns the address that a login name means. A name without a domain,
// or one that is none, belongs to nobody.
func accountName(name string) (mailaddr.Address, bool) {
	if len(name) > maxName {
		return mailaddr.Address{}, false
	}
	a, err := mailaddr.Parse(name)
	if err != nil || a.Domain == "" {
		return mailaddr.Address{}, false
	}
	return a.Folded(), true
}

// mailbox is where a user's mail lives.
type mailbox struct {
	root     string
	uid, gid int
	location string
	extra    map[string]string
}

// fields returns the userdb fields of a user. It refuses a name that cannot be a
// directory, by the rule of delivery.
func (m mailbox) fields(u account.User) ([]param, bool) {
	home, err := maildir.Home(m.root, u.Addr)
	if err != nil {
		return nil, false
	}
	params := []param{
		{key: "uid", value: strconv.Itoa(m.uid)},
		{key: "gid", value: strconv.Itoa(m.gid)},
		{key: "home", value: home},
		{key: "mail", value: m.location},
	}
	if u.Quota > 0 {
		params = append(params, param{key: fieldQuota, value: "*:bytes=" + strconv.FormatInt(u.Quota, 10)})
	}
	for _, key := range slices.Sorted(maps.Keys(m.extra)) {
		params = append(params, param{key: key, value: m.extra[key]})
	}
	return params, true
}

// fieldQuota is Dovecot's quota rule, which its quota plugin reads.
const fieldQuota = "quota_rule"

// Bounds of userdb_fields: a whole answer is 8192 bytes at most, and has a
// name and a directory too.
const (
	maxFields     = 50
	maxFieldBytes = 4096
)

// validFields checks userdb_fields. What fields sets itself is not for it, nor
// what would let a user in without a password or be somebody else.
func validFields(extra map[string]string) error {
	if len(extra) > maxFields {
		return fmt.Errorf("%d fields are more than %d", len(extra), maxFields)
	}
	total := 0
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		value := extra[key]
		total += len(key) + len(value) + 2
		switch {
		case !isFieldName(key):
			return fmt.Errorf("%q is no name of a setting: letters, digits, _, - and /", key)
		case slices.Contains([]string{"user", "uid", "gid", "home", "mail", "auth_mech", "auth_user", "master_user", "auth_token", fieldQuota}, key):
			return fmt.Errorf("%q is told already", key)
		case strings.ContainsFunc(value, isControl):
			return fmt.Errorf("the value of %q holds a control character", key)
		}
	}
	if total > maxFieldBytes {
		return errors.New("the fields are longer than 4096 bytes together")
	}
	return nil
}

// isFieldName reports whether s can be the name of a Dovecot setting.
func isFieldName(s string) bool {
	if s == "" || len(s) > maxService || s[0] == '-' || s[0] == '/' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-/", r))
	})
}
