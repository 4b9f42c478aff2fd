package fail2ban

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds of what is read.
const (
	maxFile    = 1 << 20
	maxFiles   = 200
	maxInclude = 10
	maxDepth   = 10
	maxValue   = 64 << 10
	maxFills   = 1000
)

// option is a value and where it was set.
type option struct {
	value string
	file  string
	line  int
}

func (o option) where() string {
	if o.file == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", o.file, o.line)
}

// section has options by name, in small letters.
type section map[string]option

// ini is what all files say together. known has, for each section, what a later
// file replaced.
type ini struct {
	sections map[string]section
	known    map[string]section
	names    []string // sections in their order, [DEFAULT] and [INCLUDES] aside
}

const (
	defaults = "DEFAULT"
	includes = "INCLUDES"
)

// reader reads files with their includes.
type reader struct {
	fsys  fs.FS
	files int
	notes []Note
	all   ini
}

// readAll reads the files of jails in fail2ban's order.
func readAll(fsys fs.FS) (*reader, error) {
	r := &reader{fsys: fsys, all: ini{sections: map[string]section{defaults: {}}, known: map[string]section{}}}
	found := 0
	for _, pattern := range []string{"jail.conf", "jail.d/*.conf", "jail.local", "jail.d/*.local"} {
		names, err := fs.Glob(fsys, pattern) // sorted
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			found++
			if err := r.include(name, nil); err != nil {
				return nil, err
			}
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("there is neither a jail.conf nor a jail.local: %w", fs.ErrNotExist)
	}
	return r, nil
}

// include reads a file between those that it names.
func (r *reader) include(name string, seen []string) error {
	if r.files++; r.files > maxFiles || len(seen) > maxInclude {
		return fmt.Errorf("%s: more than %d files, or %d in one another", name, maxFiles, maxInclude)
	}
	file, err := r.parse(name)
	if err != nil {
		return err
	}
	before, after := file.sections[includes]["before"], file.sections[includes]["after"]
	if err := r.others(name, before, seen); err != nil {
		return err
	}
	r.merge(file)
	return r.others(name, after, seen)
}

// others reads the files that an include names, and NAME.local beside each
// NAME.conf. One that is not there is none, as for fail2ban.
func (r *reader) others(from string, o option, seen []string) error {
	for _, name := range strings.Fields(o.value) {
		if path.IsAbs(name) || !fs.ValidPath(path.Join(path.Dir(from), name)) {
			r.notes = append(r.notes, Note{Where: o.where(), What: "include " + name, Why: "it is outside of the directory", Do: "look there for settings of jails"})
			continue
		}
		name = path.Join(path.Dir(from), name)
		if slices.Contains(seen, name) || name == from {
			continue
		}
		for _, one := range []string{name, strings.TrimSuffix(name, path.Ext(name)) + ".local"} {
			if _, err := fs.Stat(r.fsys, one); err != nil || one == name && path.Ext(one) == ".local" && slices.Contains(seen, one) {
				continue
			}
			if err := r.include(one, append(slices.Clone(seen), from)); err != nil {
				return err
			}
			if strings.HasSuffix(name, ".local") {
				break
			}
		}
	}
	return nil
}

// merge puts a file over what was read before.
func (r *reader) merge(file ini) {
	for _, name := range append([]string{defaults}, file.names...) {
		have, ok := r.all.sections[name]
		if !ok {
			have = section{}
			r.all.sections[name] = have
			r.all.names = append(r.all.names, name)
		}
		known := r.all.known[name]
		if known == nil {
			known = section{}
			r.all.known[name] = known
		}
		for key, o := range file.sections[name] {
			if old, ok := have[key]; ok && name != defaults { // as fail2ban does
				known[key] = old
			}
			have[key] = o
		}
	}
}

// parse reads one file as Python's configparser does with fail2ban's settings:
// "=" or ":", a line that begins with a blank goes on with the value, "#" and
// ";" begin a comment, ";" behind a blank too.
func (r *reader) parse(name string) (ini, error) {
	b, err := readFile(r.fsys, name)
	if err != nil {
		return ini{}, err
	}
	out := ini{sections: map[string]section{}}
	var in section
	key := ""
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimRight(cutComment(line), " \t\r")
		text := strings.TrimLeft(line, " \t")
		switch {
		case text == "":
			continue
		case text != line && key != "" && in != nil:
			o := in[key]
			o.value = strings.TrimPrefix(o.value+"\n"+text, "\n")
			in[key] = o
		case text[0] == '[' && strings.Contains(text, "]"):
			title := text[1:strings.IndexByte(text, ']')]
			if in = out.sections[title]; in == nil {
				in = section{}
				out.sections[title] = in
				if title != defaults && title != includes {
					out.names = append(out.names, title)
				}
			}
			key = ""
		default:
			at := strings.IndexAny(text, "=:")
			if in == nil || at <= 0 {
				return ini{}, fmt.Errorf("%s:%d: %.60q is neither a section nor a setting", name, i+1, text)
			}
			key = strings.ToLower(strings.TrimSpace(text[:at]))
			in[key] = option{strings.TrimSpace(text[at+1:]), name, i + 1}
		}
		if len(in[key].value) > maxValue {
			return ini{}, fmt.Errorf("%s:%d: the value has more than %d bytes", name, i+1, maxValue)
		}
	}
	return out, nil
}

// cutComment cuts a line at its comment.
func cutComment(line string) string {
	if t := strings.TrimLeft(line, " \t"); strings.HasPrefix(t, "#") || strings.HasPrefix(t, ";") {
		return ""
	}
	for i := 1; i < len(line); i++ {
		if line[i] == ';' && (line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	st, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", name, maxFile)
	}
	return fs.ReadFile(fsys, name)
}

// raw returns an option of a jail, or of [DEFAULT].
func (c *ini) raw(jail, key string) (option, bool) {
	o, ok := c.sections[jail][key]
	if !ok {
		o, ok = c.sections[defaults][key]
	}
	return o, ok
}

var errDeep = errors.New("%(…)s names itself, or is too long")

// get returns an option with all %(…)s filled in. One that names what is not
// there stays as it is, with an error.
func (c *ini) get(jail, key string) (option, bool, error) {
	o, ok := c.raw(jail, key)
	if !ok {
		return o, false, nil
	}
	left := maxFills
	value, err := c.fill(jail, o.value, 0, &left)
	if err != nil {
		return o, true, fmt.Errorf("%s: %s: %w", o.where(), key, err)
	}
	o.value = value
	return o, true, nil
}

// fill fills in what s names; left is how many names may still be. Ten names of
// ten names each, and so on, are as bad as one that names itself.
func (c *ini) fill(jail, s string, depth int, left *int) (string, error) {
	if *left--; depth > maxDepth || *left < 0 {
		return "", errDeep
	}
	var out strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '%')
		if i < 0 || i+1 == len(s) {
			out.WriteString(s)
			break
		}
		out.WriteString(s[:i])
		s = s[i+1:]
		end := strings.Index(s, ")s")
		switch {
		case s[0] == '%':
			out.WriteByte('%')
			s = s[1:]
			continue
		case s[0] != '(' || end < 0:
			out.WriteByte('%')
			continue
		}
		name := s[1:end]
		s = s[end+2:]
		value, ok := c.named(jail, strings.ToLower(name))
		if !ok {
			return "", fmt.Errorf("%%(%.60s)s is set nowhere", name)
		}
		value, err := c.fill(jail, value, depth+1, left)
		if err != nil {
			return "", err
		}
		if out.WriteString(value); out.Len() > maxValue {
			return "", errDeep
		}
	}
	return out.String(), nil
}

// named finds what %(name)s stands for: an option, __name__, known/option for
// the value that a later file replaced, or section/option.
func (c *ini) named(jail, name string) (string, bool) {
	if name == "__name__" {
		return jail, true
	}
	o, ok := c.raw(jail, name)
	if from, key, has := strings.Cut(name, "/"); has && !ok {
		switch from {
		case "known":
			if o, ok = c.known[jail][key]; !ok {
				o, ok = c.sections[defaults][key]
			}
		case "default":
			o, ok = c.sections[defaults][key]
		default:
			if o, ok = c.sections[from][key]; !ok {
				o, ok = c.sections[defaults][key]
			}
		}
	}
	return o.value, ok
}
