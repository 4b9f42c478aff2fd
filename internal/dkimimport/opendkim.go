package dkimimport

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// maxIncludes bounds how deep opendkim.conf may include others (OpenDKIM: 5).
const maxIncludes = 5

// param is one line of opendkim.conf.
type param struct {
	name, value string
	at          Place
}

// parseConf reads a file of opendkim.conf(5): "Name value" lines; "#" begins a
// comment anywhere.
func parseConf(file string, b []byte) []param {
	var out []param
	line := 0
	for text := range strings.Lines(string(b)) {
		line++
		name, value, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(uncomment(text), "\t", " ")), " ")
		if name != "" {
			out = append(out, param{name, strings.TrimSpace(value), Place{file, line}})
		}
	}
	return out
}

func uncomment(line string) string {
	line, _, _ = strings.Cut(line, "#")
	line, _, _ = strings.Cut(line, "\r")
	return strings.TrimSuffix(line, "\n")
}

// ReadOpenDKIM reads opendkim.conf at an absolute path and all that it names.
// The error is about that file only: what is wrong elsewhere is a note.
func ReadOpenDKIM(files Files, file string) (*Source, error) {
	b, err := readFile(files, file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	s := &Source{named: make(map[string]bool), texts: make(map[string]keyFile)}
	r := &conf{files: files, source: s, values: make(map[string]param)}
	r.read(parseConf(file, b), 0)
	s.model = r.opendkim()
	r.hosts()
	return s, nil
}

// conf is opendkim.conf while it is read.
type conf struct {
	files  Files
	source *Source
	values map[string]param // by name in lower case; the last line counts
}

func (r *conf) read(params []param, depth int) {
	plan := &r.source.plan
	for _, p := range params {
		key := strings.ToLower(p.name)
		if key != "include" {
			r.values[key] = p
			continue
		}
		b, err := readFile(r.files, p.value)
		if err != nil || depth == maxIncludes {
			plan.note(p.at, "Include "+p.value, "the file cannot be read", "")
			continue
		}
		r.read(parseConf(p.value, b), depth+1)
	}
	if depth > 0 {
		return
	}
	for _, p := range r.values {
		r.unknown(p)
	}
	sortNotes(plan.Notes)
	if ttl, ok := r.values["signaturettl"]; ok {
		if n, err := strconv.ParseInt(ttl.value, 0, 32); err == nil && n > 0 {
			plan.Expire = time.Duration(n) * time.Second
		}
	}
}

// yes reads a Boolean.
func (r *conf) yes(name string) bool {
	v := strings.ToLower(r.values[name].value)
	return v != "" && strings.IndexByte("ty1", v[0]) >= 0
}

// unknown notes a parameter that changes what is signed and has no counterpart.
func (r *conf) unknown(p param) {
	n, ok := paramNotes[strings.ToLower(p.name)]
	if !ok || n.only != nil && !n.only(strings.ToLower(p.value)) {
		return
	}
	r.source.plan.note(p.at, strings.TrimSpace(p.name+" "+p.value), n.why, n.do)
}

// paramNote is why a parameter is not carried over, for those values that only
// accepts.
type paramNote struct {
	why, do string
	only    func(value string) bool
}

func isYes(v string) bool { return v != "" && strings.IndexByte("ty1", v[0]) >= 0 }

// fixedFields is why nothing says which header fields are signed.
const fixedFields = "Gatepost signs a fixed list of header fields, most of them oversigned, never a part of the body, and always relaxed/relaxed"

// ownSender is why nothing but the author and the sender's rights decide.
const ownSender = "Gatepost decides by the header From and by who sends: a login, a network or a program of this host"

// paramNotes are the parameters with a note. Those that only say how OpenDKIM
// runs, logs or verifies have none.
var paramNotes = map[string]paramNote{
	"canonicalization":    {fixedFields, "", func(v string) bool { return v != "relaxed/relaxed" && v != "relaxed" }},
	"signheaders":         {fixedFields, "", nil},
	"omitheaders":         {fixedFields, "", nil},
	"oversignheaders":     {fixedFields, "", func(v string) bool { return v != "from" }},
	"alwayssignheaders":   {fixedFields, "", nil},
	"bodylengthdb":        {fixedFields, "", nil},
	"bodylengths":         {fixedFields, "", isYes},
	"maximumsignedbytes":  {fixedFields, "", nil},
	"signaturealgorithm":  {"Gatepost signs with rsa-sha256 and ed25519-sha256, as the key says", "", func(v string) bool { return v == "rsa-sha1" }},
	"mode":                {"this OpenDKIM only verifies; it signs nothing", "", func(v string) bool { return !strings.Contains(v, "s") }},
	"senderheaders":       {ownSender, "", nil},
	"sendermacro":         {ownSender, "", nil},
	"identityheader":      {ownSender, "", nil},
	"macrolist":           {ownSender, "give this mail to the socket milter-submission in Postfix's master.cf", nil},
	"mtas":                {ownSender, "give this mail to the socket milter-submission in Postfix's master.cf", nil},
	"mta":                 {ownSender, "give this mail to the socket milter-submission in Postfix's master.cf", nil},
	"popdbfile":           {ownSender, "", nil},
	"localadsp":           {"it is about verifying only", "", nil},
	"exemptdomains":       {"Gatepost signs all mail of a domain that has a key", "", nil},
	"dontsignmailto":      {"Gatepost does not look at recipients when it signs", "", nil},
	"peerlist":            {"Gatepost filters every host", "leave these hosts out with smtpd_client_connection rules or check_client_access ... in Postfix", nil},
	"externalignorelist":  {"it only keeps OpenDKIM from logging; Gatepost's journal has the one reason for each unsigned message (gatepost dkim why)", "", nil},
	"resignall":           {"Gatepost never signs what only passes through", "", isYes},
	"resignmailto":        {"Gatepost never signs what only passes through", "", nil},
	"replaceheaders":      {"Gatepost changes no header before it signs", "", nil},
	"replacerules":        {"Gatepost changes no header before it signs", "", nil},
	"removeoldsignatures": {"Gatepost leaves signatures of others alone", "", isYes},
	"setuppolicyscript":   {"a script cannot be carried over", "look at which keys it chooses, and import them by gatepost dkim new DOMAIN --selector", nil},
	"ldapbinduser":        {"tables in LDAP are not read", "", nil},
	"vbr-certifiers":      {"VBR is not known", "", nil},
	"domainkeyscompat":    {"DomainKeys is not known", "", isYes},
	"subdomains":          {"Gatepost signs with the author's own domain only", "gatepost dkim new SUBDOMAIN makes keys for each that sends mail", isYes},
}

// dataset is a table or list that was read: "key value" lines.
type dataset struct {
	rows    []row
	pattern bool // refile: keys are patterns, the first that matches counts
}

type row struct {
	key, value string
	at         Place
}

// dataset reads the table that a parameter names; false when it cannot be.
func (r *conf) dataset(p param) (dataset, bool) {
	kind, rest, _ := strings.Cut(p.value, ":")
	switch {
	case strings.HasPrefix(p.value, "/") || strings.HasPrefix(p.value, "."):
		kind, rest = "file", p.value
	case kind == "file" || kind == "refile" || kind == "csl":
	case strings.Contains(p.value, ":") && isDatabase(kind):
		r.source.plan.note(p.at, p.name+" "+kind+":...", "tables of this kind are not read", "write it into a flat file, and import that")
		return dataset{}, false
	default:
		kind, rest = "csl", p.value
	}
	if kind == "csl" {
		return dataset{rows: parseList(rest, p.at)}, true
	}
	if !path.IsAbs(rest) {
		rest = path.Join(path.Dir(p.at.File), rest)
	}
	b, err := readFile(r.files, rest)
	if err != nil {
		r.source.plan.note(p.at, p.name+" "+p.value, "the file cannot be read", "")
		return dataset{}, false
	}
	return dataset{rows: parseTable(rest, b), pattern: kind == "refile"}, true
}

func isDatabase(kind string) bool {
	switch kind {
	case "db", "dsn", "ldap", "ldaps", "ldapi", "lua", "mdb", "erlang", "repute", "memcache", "socket", "bdb":
		return true
	}
	return false
}

// parseTable reads a flat file: a key up to the first blank, then its value;
// "#" begins a comment anywhere.
func parseTable(file string, b []byte) []row {
	var out []row
	line := 0
	for text := range strings.Lines(string(b)) {
		line++
		key, value, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(uncomment(text), "\t", " ")), " ")
		if key != "" {
			out = append(out, row{key, strings.TrimSpace(value), Place{file, line}})
		}
	}
	return out
}

// parseList reads "a, b" or "a=x, b=y".
func parseList(s string, at Place) []row {
	var out []row
	for item := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		if key != "" {
			out = append(out, row{key, value, at})
		}
	}
	return out
}
