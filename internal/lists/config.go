package lists

import (
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// Of is what of a message a list is asked about.
type Of string

// What a list may be asked about.
const (
	// Client is the address of the SMTP client; Client4 the same, for a list
	// that knows IPv4 only.
	Client  Of = "client"
	Client4 Of = "client4"
	// URI is the registered domain of a link, Host its whole host, URIAddr the
	// host of a link that is an address.
	URI     Of = "uri"
	Host    Of = "host"
	URIAddr Of = "uri_addr"
	// Helo, PTR and Sender are what the client says in HELO, its verified name,
	// and the domains of MAIL FROM and From. A list that takes Host is asked
	// about the whole names, any other about their registered domains.
	Helo   Of = "helo"
	PTR    Of = "ptr"
	Sender Of = "sender"
	// Email is the hash of an e-mail address in From, Reply-To, MAIL FROM or the
	// text.
	Email Of = "email"
)

// kinds are all of them.
var kinds = []Of{Client, Client4, URI, Host, URIAddr, Helo, PTR, Sender, Email}

// Config says which lists are asked and what their answers count.
type Config struct {
	// Timeout is for all questions of one message.
	Timeout unit.Duration `yaml:"timeout"`
	// MaxScore is what all lines of one list add or take away together, unless
	// it has MayReject. It has to stay below scan.reject.
	MaxScore float64 `yaml:"max_score"`
	// MaxDomains and MaxEmails bound what of one message is asked about,
	// MaxQuestions the questions about it to all lists.
	MaxDomains   int `yaml:"max_domains"`
	MaxEmails    int `yaml:"max_emails"`
	MaxQuestions int `yaml:"max_questions"`
	// NeverAsk are domains that no list is asked about, with what is below
	// them, beside those that are known too well.
	NeverAsk []string `yaml:"never_ask"`
	// Lists are who is asked. None is by default.
	Lists []List `yaml:"lists"`

	// Reject is scan.reject, which the root hands down; 0 for none.
	Reject float64 `yaml:"-"`
}

// List is one list. With a Preset, what is left out is the preset's.
type List struct {
	Preset string `yaml:"preset"`
	// Name begins the names of its lines, in capitals.
	Name string `yaml:"name"`
	// Mode is enforce unless set. With observe its lines have 0 points and say
	// what they would add; with off nobody is asked.
	Mode unit.Mode `yaml:"mode"`
	// Zone is the list's place in the DNS. "{key}" in it stands for the
	// content of KeyFile.
	Zone    string `yaml:"zone"`
	KeyFile string `yaml:"key_file"`
	// Of is what it is asked about.
	Of []Of `yaml:"of"`
	// Hash is how it wants e-mail addresses: sha1, md5, sha1-base32, md5-base32
	// or sha256-base32.
	Hash string `yaml:"hash"`
	// Codes are its answers and what they count. Each that matches gives a line.
	Codes []Code `yaml:"codes"`
	// Scores replaces the points of single codes, by their names.
	Scores map[string]float64 `yaml:"scores"`
	// Blocked are answers, beside 127.255.255.0/24, that say that the list does
	// not serve us.
	Blocked []Answer `yaml:"blocked"`
	// TestListed is an entry that the list always has, TestNotListed one that it
	// never has: an address, a domain or an e-mail address. "none" switches the
	// test off. Without them those of RFC 5782 §5 hold.
	TestListed    string `yaml:"test_listed"`
	TestNotListed string `yaml:"test_not_listed"`
	// MayReject lifts MaxScore for this list.
	MayReject bool `yaml:"may_reject"`
}

// Code is one answer of a list.
type Code struct {
	Answer Answer `yaml:"answer"`
	// Name ends the name of the line; "" leaves that the list's name alone.
	Name string `yaml:"name"`
	// Score is in points; negative for a list of the good.
	Score float64 `yaml:"score"`
	// Text is the sentence for a person.
	Text string `yaml:"text"`
}

// Default asks nobody.
func Default() Config {
	return Config{
		Timeout:      unit.Duration(3 * time.Second),
		MaxScore:     7,
		MaxDomains:   20,
		MaxEmails:    10,
		MaxQuestions: 150,
	}
}
