package examples

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README shows the lines for an existing server, docs/howto sets them one
// by one, and the files here hold them among all others. These tests keep the
// three from saying different things.

// settings are what one of them says: "main NAME", "master SERVICE NAME" and
// "dovecot PATH", each with its value.
type settings map[string]string

func (s settings) master(service, kind, args string) {
	s["master "+service+" ="] = kind + " " + strings.Join(strings.Fields(args), " ")
}

// space makes values that Postfix takes for the same equal.
func space(v string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(v), " "), ", ", ",")
}

var variable = regexp.MustCompile(`\$(\w+)`)

// value is a setting with the variables that the same source defines put in.
func (s settings) value(key string) string {
	v := s[key]
	for range 3 {
		v = variable.ReplaceAllStringFunc(v, func(name string) string {
			if is, ok := s["main "+name[1:]]; ok && name != "$myhostname" {
				return is
			}
			return name
		})
	}
	// $config_directory is this on Debian.
	return space(strings.ReplaceAll(v, "$config_directory", "/etc/postfix"))
}

// mainCF reads the lines of a main.cf.
func (s settings) mainCF(text string) {
	for _, line := range logicalLines(text) {
		if name, value, ok := strings.Cut(line, "="); ok {
			s["main "+strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
}

// masterCF reads the lines of a master.cf.
func (s settings) masterCF(text string) {
	for _, line := range logicalLines(text) {
		head, options, _ := strings.Cut(line, " -o ")
		service, rest, _ := strings.Cut(head, " ")
		kind, args, _ := strings.Cut(strings.TrimSpace(rest), " ")
		s.master(service, kind, args)
		for o := range strings.SplitSeq(options, " -o ") {
			if name, value, ok := strings.Cut(strings.TrimSpace(o), "="); ok {
				s["master "+service+" "+name] = value
			}
		}
	}
}

// logicalLines drops comments and joins what postconf(5) joins.
func logicalLines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "" || trimmed[0] == '#':
		case line[0] == ' ' && len(out) > 0:
			out[len(out)-1] += " " + trimmed
		default:
			out = append(out, trimmed)
		}
	}
	return out
}

// dovecot reads the lines of a dovecot.conf.
func (s settings) dovecot(text string) {
	var path []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, set := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line == "}":
			path = path[:len(path)-1]
		case strings.HasSuffix(line, "{"):
			path = append(path, strings.TrimSpace(strings.TrimSuffix(line, "{")))
		case set:
			key := append(slices.Clone(path), strings.TrimSpace(name))
			s["dovecot "+strings.Join(key, "/")] = strings.TrimSpace(value)
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// files are the settings of this directory.
func files(t *testing.T) settings {
	t.Helper()
	s := settings{}
	s.mainCF(text(t, "postfix/main.cf"))
	s.masterCF(text(t, "postfix/master.cf"))
	s.dovecot(text(t, "dovecot/dovecot.conf"))
	return s
}

// readme are the settings of the README's indented blocks, each of which
// belongs to the file named last before it.
func readme(t *testing.T) settings {
	t.Helper()
	_, part, _ := strings.Cut(text(t, "../README.md"), "## The lines for an existing server")
	part, _, _ = strings.Cut(part, "\n## ")
	blocks := map[string]string{}
	file := ""
	for line := range strings.Lines(part) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			blocks[file] += code
			continue
		}
		for _, name := range []string{"main.cf", "master.cf", "dovecot.conf"} {
			if strings.HasPrefix(line, "`"+name+"`") || strings.HasSuffix(line, "`"+name+"`:\n") {
				file = name
			}
		}
	}
	s := settings{}
	s.mainCF(blocks["main.cf"])
	s.masterCF(blocks["master.cf"])
	s.dovecot(blocks["dovecot.conf"])
	return s
}

var (
	shellLoop    = regexp.MustCompile(`(?ms)^for s in ([a-z ]+); do\n(.*?)^done\n`)
	loopVariable = regexp.MustCompile(`\$s\b`)
	quoted       = regexp.MustCompile(`'([^']*)'|"([^"]*)"`)
	hereDovecot  = regexp.MustCompile(`(?s)cat >> /etc/dovecot/local\.conf <<'END'\n(.*?)\nEND\n`)
)

// howto are the settings that the commands of the page make.
func howto(t *testing.T) settings {
	t.Helper()
	page := text(t, "../docs/howto/existing-server.md")
	s := settings{}
	m := hereDovecot.FindStringSubmatch(page)
	if m == nil {
		t.Fatal("docs/howto/existing-server.md writes no local.conf for Dovecot")
	}
	s.dovecot(m[1])
	page = shellLoop.ReplaceAllStringFunc(page, func(loop string) string {
		m := shellLoop.FindStringSubmatch(loop)
		var out strings.Builder
		for service := range strings.FieldsSeq(m[1]) {
			out.WriteString(loopVariable.ReplaceAllString(m[2], service))
		}
		return out.String()
	})
	s.commands(page)
	return s
}

// commands takes the lines of a page that begin with postconf.
func (s settings) commands(page string) {
	for line := range strings.Lines(page) {
		command := strings.Fields(line)
		if len(command) < 2 || command[0] != "postconf" {
			continue
		}
		for _, q := range quoted.FindAllStringSubmatch(line, -1) {
			s.postconf(command[1], strings.ReplaceAll(q[1]+q[2], `\$`, "$"))
		}
	}
}

// postconf takes one argument of postconf -e, -M or -P.
func (s settings) postconf(option, arg string) {
	name, value, _ := strings.Cut(arg, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch path := strings.Split(name, "/"); option {
	case "-e":
		s["main "+name] = value
	case "-M":
		s.masterCF(value)
	case "-P":
		s["master "+path[0]+" "+path[2]] = value
	}
}

// TestReadmeAgrees: what the README tells to set is set so in the files here
// or in docs/howto.
func TestReadmeAgrees(t *testing.T) {
	shown, here, page := readme(t), files(t), howto(t)
	if len(shown) < 25 {
		t.Fatalf("the README shows %d settings, which is too few", len(shown))
	}
	for key := range shown {
		_, inFiles := here[key]
		_, inPage := page[key]
		v := shown.value(key)
		switch {
		case !inFiles && !inPage:
			t.Errorf("README: %s is set neither in examples/ nor in docs/howto", key)
		case v != here.value(key) && v != page.value(key):
			t.Errorf("README: %s is %q, in examples/ %q, in docs/howto %q", key, v, here.value(key), page.value(key))
		}
	}
}

// TestReadmeIsWhole: what docs/howto sets of the submission service, without
// which something goes round the filter or the limits, stands in the README.
func TestReadmeIsWhole(t *testing.T) {
	shown, page := readme(t), howto(t)
	n := 0
	for key := range page {
		if !strings.HasPrefix(key, "master submission ") && !strings.HasPrefix(key, "master submission-cleanup ") ||
			key == "master submission syslog_name" {
			continue
		}
		n++
		if _, ok := shown[key]; !ok {
			t.Errorf("docs/howto sets %s, the README does not", key)
		}
	}
	if n < 10 {
		t.Errorf("docs/howto sets %d things of submission, which is too few", n)
	}
}

// TestSubmissionsAlike: the two services of users differ in nothing but how
// TLS begins, here and in docs/howto.
func TestSubmissionsAlike(t *testing.T) {
	for where, s := range map[string]settings{"examples/": files(t), "docs/howto": howto(t)} {
		own := []string{"syslog_name", "smtpd_tls_security_level", "smtpd_tls_wrappermode"}
		for key := range s {
			f := strings.Fields(key)
			if f[0] != "master" || f[1] != "submission" && f[1] != "submissions" || slices.Contains(own, f[2]) {
				continue
			}
			one, other := s["master submission "+f[2]], s["master submissions "+f[2]]
			if one != other || one == "" {
				t.Errorf("%s: %s is %q for submission and %q for submissions", where, f[2], one, other)
			}
		}
		if s["master submission smtpd_tls_security_level"] != "encrypt" || s["master submissions smtpd_tls_wrappermode"] != "yes" {
			t.Errorf("%s: a service of users without TLS", where)
		}
	}
}

// TestHowtoAgrees: a setting of docs/howto that stands here too is the same,
// but for what the page leaves at Postfix's default.
func TestHowtoAgrees(t *testing.T) {
	here, page := files(t), howto(t)
	simpler := []string{
		"main smtpd_recipient_restrictions", "main submission_policy", "main smtpd_relay_restrictions",
		"master submission smtpd_recipient_restrictions", "master submissions smtpd_recipient_restrictions",
		"master submission smtpd_data_restrictions", "master submissions smtpd_data_restrictions",
	}
	for key := range page {
		_, ok := here[key]
		if ok && !slices.Contains(simpler, key) && page.value(key) != here.value(key) {
			t.Errorf("%s: docs/howto has %q, examples/ %q", key, page.value(key), here.value(key))
		}
	}
}

// TestOtherPagesAgree: so is what the pages about mail to others set.
func TestOtherPagesAgree(t *testing.T) {
	here := files(t)
	const own = "master 127.0.0.1:10587 "
	for page, want := range map[string][]string{
		"forwarding.md":   {"main recipient_canonical_maps", "main recipient_canonical_classes"},
		"outgoing-tls.md": {"main smtp_tls_policy_maps", "main smtp_tls_security_level"},
		"stolen-account.md": {
			"main internal_mail_filter_classes", own + "=", own + "syslog_name", own + "smtpd_tls_security_level", own + "smtpd_tls_auth_only",
			own + "smtpd_sasl_auth_enable", own + "smtpd_milters", own + "smtpd_relay_restrictions", own + "smtpd_data_restrictions",
		},
	} {
		set := settings{}
		set.commands(text(t, "../docs/howto/"+page))
		for _, key := range want {
			if v := set.value(key); v == "" || v != here.value(key) {
				t.Errorf("%s: docs/howto/%s has %q, examples/ %q", key, page, v, here.value(key))
			}
		}
	}
}
