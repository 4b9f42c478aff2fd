package dict

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

// The words of a verdict, in the journal and in metrics.
const (
	verdictFound   = "found"
	verdictRefused = "refused" // there, and may not log in now
	verdictUnknown = "unknown"
	verdictTemp    = "temp" // a fault of ours
)

// space is the part of the keys that a key is in.
type space int

const (
	otherSpace space = iota
	passdb
	userdb
)

// query is a key that was understood.
type query struct {
	space   space
	service string // empty: not told
	user    mailaddr.Address
}

const (
	passdbPrefix = "shared/passdb/"
	userdbPrefix = "shared/userdb/"
)

// services are the words that may stand between passdb/ and the user, as
// Dovecot's %s has them.
var services = []string{"doveadm", "imap", "lmtp", "pop3", "sieve", "smtp", "submission"}

// parseKey reads the key of a look-up. One that names nobody is ok = false.
func parseKey(key string) (q query, ok bool) {
	name, isPassdb := strings.CutPrefix(key, passdbPrefix)
	if isPassdb {
		q.space = passdb
		if service, rest, found := strings.Cut(name, "/"); found && slices.Contains(services, service) {
			q.service, name = service, rest
		}
	} else if name, ok = strings.CutPrefix(key, userdbPrefix); ok {
		q.space = userdb
	} else {
		return q, false
	}
	a, err := mailaddr.Parse(name)
	if err != nil || a.Domain == "" {
		return q, false
	}
	q.user = a.Folded()
	return q, true
}

// mailbox is where users' mail lives.
type mailbox struct {
	root     string
	uid, gid int
	location string
}

// facts are what is known of one look-up. With fault the rest is nothing.
type facts struct {
	query
	// asked is the name as it stood in the key.
	asked string
	fault bool
	known bool
	row   account.User
	// held says that the account may not log in to send.
	held bool
	// appOnly says that the main password is no way in for mail clients.
	appOnly bool
	// nobody is a password that nobody knows, scheme that of a stored one that
	// names none.
	nobody secret.Value
	scheme password.Scheme
	mail   mailbox
}

// field is a member of the JSON answer.
type field struct {
	key    string
	text   string
	number int
}

// answer is what the peer hears.
type answer struct {
	verdict string
	// rule is why a login is refused.
	rule     string
	password secret.Value
	fields   []field
}

// What the user is told where Dovecot can tell it.
const (
	textDisabled = "this account is disabled, please ask your postmaster"
	textExpired  = "this account has expired, please ask your postmaster"
	textService  = "this account may not use this service, please ask your postmaster"
	textHeld     = "this account may not send mail at present, please ask your postmaster"
)

// decide returns the answer to a look-up. Equal arguments give equal answers.
func decide(f facts, now time.Time) answer {
	switch {
	case f.fault:
		return answer{verdict: verdictTemp, rule: "fault"}
	case !f.known:
		return answer{verdict: verdictUnknown}
	case f.space == userdb:
		return decideUserdb(f)
	}
	a := answer{verdict: verdictFound}
	a.password, a.rule = f.stored()
	if a.rule != "" {
		a.verdict = verdictRefused
	}
	if name := f.user.String(); name != f.asked {
		a.fields = append(a.fields, field{key: "user", text: name})
	}
	if nets := allowNets(f.row.AllowNets); nets != "" {
		a.fields = append(a.fields, field{key: "allow_nets", text: nets})
	}
	rule, reason := f.refusal(now)
	if rule == "" || a.rule != "" {
		return a
	}
	a.verdict, a.rule = verdictRefused, rule
	if !f.hearsReasons() {
		a.password = f.nobody
		return a
	}
	a.fields = append(a.fields, field{key: "nologin"}, field{key: "reason", text: reason})
	return a
}

// stored returns the password to check, or that of nobody and the rule that keeps
// the stored one back. Dovecot does not know our default_pass_scheme.
func (f facts) stored() (pw secret.Value, rule string) {
	switch {
	case f.row.Password.IsEmpty():
		return f.nobody, ""
	case f.appOnly && (f.service == "" || account.MailClient(f.service)):
		return f.nobody, "app_passwords_only"
	}
	pw, err := password.Named(f.row.Password, f.scheme)
	if err != nil {
		return f.nobody, "scheme"
	}
	return pw, ""
}

// refusal says why the account may not log in now; an empty rule is that it may.
func (f facts) refusal(now time.Time) (rule, reason string) {
	u := f.row
	switch {
	case u.Disabled:
		return "disabled", textDisabled
	case u.NoLogin != "":
		return "nologin", u.NoLogin
	case u.Expired(now):
		return "expired", textExpired
	case !u.AllowsService(f.service):
		// Where the service is not told, an account with rights for some gets
		// in nowhere rather than everywhere.
		return "service", textService
	case f.held && account.ServiceOf(f.service) == account.Submission:
		return "held", textHeld
	}
	return "", ""
}

// hearsReasons says that the peer understands nologin.
func (f facts) hearsReasons() bool {
	return f.service == "imap" || f.service == "pop3" || f.service == "sieve"
}

// allowNets returns Dovecot's extra field.
func allowNets(nets []netip.Prefix) string {
	all := make([]string, len(nets))
	for i, n := range nets {
		all[i] = n.String()
	}
	return strings.Join(all, ",")
}

// decideUserdb refuses a name that cannot be a directory, by the rule of delivery.
func decideUserdb(f facts) answer {
	home, err := maildir.Home(f.mail.root, f.row.Addr)
	if err != nil {
		return answer{verdict: verdictUnknown, rule: "name"}
	}
	fields := []field{
		{key: "uid", number: f.mail.uid},
		{key: "gid", number: f.mail.gid},
		{key: "home", text: home},
		{key: "mail", text: f.mail.location},
	}
	if f.row.Quota > 0 {
		fields = append(fields, field{key: "quota_rule", text: quotaRule(f.row.Quota)})
	}
	return answer{verdict: verdictFound, fields: fields}
}

// quotaRule is Dovecot's rule for a whole account.
func quotaRule(bytes int64) string { return "*:bytes=" + strconv.FormatInt(bytes, 10) }
