package authd

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/account"
)

// Kind says who connects to a listener, and so which protocol it speaks.
type Kind int

const (
	// Client is Postfix's smtpd: every login there is for sending.
	Client Kind = iota + 1
	// Login is a Dovecot login process; its logins end on a Master socket.
	Login
	// Master is a Dovecot mail process that takes a login over.
	Master
	// Userdb is Dovecot's lmtp or doveadm.
	Userdb
)

// String returns the name of the kind, which Dovecot uses for its sockets too.
func (k Kind) String() string {
	switch k {
	case Client:
		return "client"
	case Login:
		return "login"
	case Master:
		return "master"
	case Userdb:
		return "userdb"
	}
	return "kind " + strconv.Itoa(int(k))
}

// escaping says whether the peers of a kind resolve escapes.
func (k Kind) escaping() escaping { return k != Client }

// The words of a verdict, in the journal and in metrics.
const (
	verdictOK      = "ok"
	verdictFail    = "fail"    // unknown user, wrong password, malformed
	verdictRefused = "refused" // right or not looked at, but not now or not here
	verdictTemp    = "temp"    // a fault of ours
)

// facts are what is known of one login. At most one of Fault and Banned is set;
// either hides the rest.
type facts struct {
	kind    Kind
	service string
	// user is the name in its final form, empty where there is none to tell.
	user string
	// fault says that the question could not be answered.
	fault bool
	// banned says that the network is refused: until when, and the ban's name.
	banned bool
	until  time.Time
	ban    string
	// match says that the account exists and the password is right.
	match bool
	// unfit is why the password was not looked at, though nobody may know: the
	// rule in the journal of what is a wrong password to the peer.
	unfit string
	// account is what the account's own rules say to the right password.
	account accountRules
}

// outcome is what the peer hears.
type outcome struct {
	verdict string
	rule    string
	// close ends the connection without a reply: all that makes Postfix say
	// 454 rather than 535.
	close  bool
	ok     bool
	params []param
	// reason is what the user is told, for the journal.
	reason string
	// delay says that the answer has to wait for failure_delay.
	delay bool
}

// decide returns the answer to a login. Equal facts give equal outcomes.
func decide(f facts) outcome {
	switch {
	case f.fault && f.kind == Client:
		return outcome{verdict: verdictTemp, rule: "fault", close: true}
	case f.fault:
		// 2.2 knows the flag, 2.3 and later the code.
		return outcome{verdict: verdictTemp, rule: "fault", params: []param{
			{key: "user", value: f.user}, {key: "temp", flag: true}, {key: "code", value: "temp_fail"},
		}}.named(f)
	case f.banned:
		text := fmt.Sprintf("logins from your network are refused until %s UTC (ban %s)", f.until.UTC().Format(banTime), f.ban)
		return refuse(f, "ban "+f.ban, text, "")
	case f.unfit != "" || !f.match:
		// Unknown, wrong and unfit are the same, also in form.
		return outcome{verdict: verdictFail, rule: cmp.Or(f.unfit, "password"), delay: true, params: []param{{key: "user", value: f.user}}}.named(f)
	}
	return decideAccount(f)
}

// banTime is how the end of a ban is told: some last a week.
const banTime = "2006-01-02 15:04"

// sending says that the login is for sending mail: Postfix's, or Dovecot's
// submission proxy.
func (f facts) sending() bool {
	return f.kind == Client && account.ServiceOf(f.service) != account.Sieve || f.service == "smtp" || f.service == "submission"
}

// refuse returns a FAIL that tells why. code is a Dovecot code, or empty; 2.2
// has it as a flag.
func refuse(f facts, rule, text, code string) outcome {
	params := []param{{key: "user", value: f.user}}
	if code != "" {
		params = append(params, param{key: "code", value: code}, param{key: code, flag: true})
	}
	params = append(params, param{key: "reason", value: text})
	return outcome{verdict: verdictRefused, rule: rule, reason: text, delay: true, params: params}.named(f)
}

// named drops user= where there is no name to tell.
func (o outcome) named(f facts) outcome {
	if f.user == "" {
		o.params = o.params[1:]
	}
	return o
}
