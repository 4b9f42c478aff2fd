package scan

import (
	"math"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	adminrule "github.com/gatepost/gatepost/internal/rule"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Bounds of what the admin's rules see, in bytes and entries.
const (
	maxFact  = 1000
	maxBody  = 16 << 10
	maxList  = 500
	maxShown = 200 // of a link's text
)

// env are the facts that the admin's rules see. Addresses and domains are in
// lower case; a text that the message does not have is "".
type env struct {
	adminrule.Meter
	Direction  string   `expr:"direction"`
	From       string   `expr:"from"`
	FromDomain string   `expr:"from_domain"`
	FromName   string   `expr:"from_name"`
	ReplyTo    string   `expr:"reply_to"`
	To         []string `expr:"to"`
	Subject    string   `expr:"subject"`
	Text       string   `expr:"text"`
	Size       int      `expr:"size"`

	MailFrom   string   `expr:"mail_from"`
	RcptTo     []string `expr:"rcpt_to"`
	OwnDomains []string `expr:"own_domains"`
	ClientIP   string   `expr:"client_ip"`
	ClientName string   `expr:"client_name"`
	Helo       string   `expr:"helo"`
	TLS        bool     `expr:"tls"`
	User       string   `expr:"user"`

	Auth        authFacts        `expr:"auth"`
	Known       knownFacts       `expr:"known"`
	Learned     learnedFacts     `expr:"learned"`
	Links       []linkFact       `expr:"links"`
	Attachments []attachmentFact `expr:"attachments"`

	Score float64  `expr:"score"`
	Hits  []string `expr:"hits"`

	Header  func(name string) string   `expr:"header"`
	Headers func(name string) []string `expr:"headers"`
	Hit     func(name string) bool     `expr:"hit"`
}

// authFacts are results of authentication: pass, fail, none, temperror and so
// on, "" for what was not checked.
type authFacts struct {
	SPF string `expr:"spf"`
	// DKIM are the domains whose signatures are right.
	DKIM  []string `expr:"dkim"`
	DMARC string   `expr:"dmarc"`
	ARC   string   `expr:"arc"`
	// Proved says that the domain in From answers for the message.
	Proved bool `expr:"proved"`
}

type knownFacts struct {
	Reply         bool `expr:"reply"`
	Correspondent bool `expr:"correspondent"`
	First         bool `expr:"first"`
}

type learnedFacts struct {
	// Spam is the probability, 0 to 1; Weight is how much of its full weight the
	// filter carries, 0 for none.
	Spam   float64 `expr:"spam"`
	Weight float64 `expr:"weight"`
}

type linkFact struct {
	URL    string `expr:"url"`
	Host   string `expr:"host"`
	Domain string `expr:"domain"`
	Text   string `expr:"text"`
}

type attachmentFact struct {
	Name string `expr:"name"`
	Type string `expr:"type"`
	Ext  string `expr:"ext"`
	Size int    `expr:"size"`
}

// newEnv returns the facts of f. Those that take work are made only where a
// rule uses them.
func newEnv(f *facts, uses func(string) bool) *env {
	v := &env{
		Direction: f.Direction.String(),
		Subject:   clip(f.text.Subject, maxFact),
		Size:      int(max(f.Size, int64(len(f.Raw.Raw)))),
		MailFrom:  folded(f.MailFrom.String()), OwnDomains: f.OwnDomains,
		ClientName: folded(f.Client.Name), Helo: clip(f.Client.Helo, maxFact), TLS: f.Client.TLS, User: folded(f.User),
		Known:   knownFacts{f.Known.Reply, f.Known.Correspondent, f.Known.First},
		Learned: learnedFacts{1 / (1 + math.Exp(-f.Learned.Logit)), f.Learned.Weight},
		Header:  f.header, Headers: f.headers,
	}
	if a := f.Client.Addr; a.IsValid() {
		v.ClientIP = a.Unmap().WithZone("").String()
	}
	if len(f.text.From) > 0 {
		b := f.text.From[0]
		v.From, v.FromDomain, v.FromName = folded(b.Addr.String()), folded(b.Addr.Domain), clip(b.Name, maxFact)
	}
	v.Hit = func(name string) bool { return slices.Contains(v.Hits, name) }
	for _, lazy := range []struct {
		name string
		fill func()
	}{
		{"reply_to", func() { v.ReplyTo = first(f.mailboxes("Reply-To")) }},
		{"to", func() { v.To = append(f.mailboxes("To"), f.mailboxes("Cc")...) }},
		{"rcpt_to", func() { v.RcptTo = addresses(f.RcptTo) }},
		{"text", func() { v.Text = f.body() }},
		{"auth", func() { v.Auth = f.authFacts() }},
		{"links", func() { v.Links = f.linkFacts() }},
		{"attachments", func() { v.Attachments = f.attachmentFacts() }},
	} {
		if uses(lazy.name) {
			lazy.fill()
		}
	}
	return v
}

// see tells v which lines there are so far.
func (v *env) see(lines []verdict.Line) {
	v.Score = verdict.Sum(lines)
	for _, l := range lines[len(v.Hits):] {
		v.Hits = append(v.Hits, l.Name)
	}
}

// header returns the first field of that name, decoded; "" for none.
func (f *facts) header(name string) string {
	s, _ := f.Raw.First(name)
	return header.DecodeText(clip(s, maxFact))
}

// headers returns all fields of that name, decoded.
func (f *facts) headers(name string) []string {
	all := f.Raw.Values(name)
	all = all[:min(len(all), maxList)]
	for i := range all {
		all[i] = header.DecodeText(clip(all[i], maxFact))
	}
	return all
}

// mailboxes returns the addresses in the fields of that name.
func (f *facts) mailboxes(name string) []string {
	var out []string
	for i := range f.Raw.Fields {
		field := &f.Raw.Fields[i]
		if !field.Is(name) {
			continue
		}
		boxes, err := mailaddr.ParseMailboxes(field.Value)
		if err != nil && len(boxes) == 0 {
			continue
		}
		for _, b := range boxes {
			if len(out) < maxList {
				out = append(out, folded(b.Addr.String()))
			}
		}
	}
	return out
}

// body returns the beginning of what a reader sees.
func (f *facts) body() string {
	var b strings.Builder
	for _, t := range append(slices.Clone(f.text.Text), f.text.Visible) {
		if b.Len() < maxBody && t != "" {
			b.WriteString(clip(t, maxBody-b.Len()))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (f *facts) authFacts() authFacts {
	a := f.Auth
	out := authFacts{
		SPF: string(a.SPF.MailFrom.Result), DKIM: f.signers(authres.Pass), DMARC: string(a.DMARC.Result), ARC: string(a.ARC.Result),
		Proved: len(f.text.From) == 1 && f.proved(f.text.From[0].Addr.Domain),
	}
	return out
}

func (f *facts) linkFacts() []linkFact {
	out := make([]linkFact, 0, len(f.text.Links))
	for _, l := range f.text.Links {
		out = append(out, linkFact{
			URL: clip(l.URL, maxFact), Host: l.To.Host, Domain: link.Registered(l.To.Host), Text: clip(l.Text, maxShown),
		})
	}
	return out
}

func (f *facts) attachmentFacts() []attachmentFact {
	var out []attachmentFact
	for _, a := range f.text.Attachments {
		if len(out) == maxList {
			break
		}
		ext := ""
		if i := strings.LastIndexByte(a.Name, '.'); i >= 0 {
			ext = folded(a.Name[i+1:])
		}
		out = append(out, attachmentFact{Name: clip(a.Name, maxFact), Type: a.Type, Ext: clip(ext, maxFact), Size: int(a.Size)})
	}
	return out
}

func addresses(all []mailaddr.Address) []string {
	out := make([]string, 0, min(len(all), maxList))
	for _, a := range all[:min(len(all), maxList)] {
		out = append(out, folded(a.String()))
	}
	return out
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}
