package notice

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode"
)

//go:embed templates/*.txt
var shipped embed.FS

// Bounds of a template and of what it writes.
const (
	maxTemplate = 64 << 10
	maxText     = 64 << 10
	maxNested   = 2
	maxSubject  = 200
)

var errTooLong = errors.New("the text is longer than 64 KB")

// reader is whom a text is for.
type reader string

const (
	admin reader = "admin"
	user  reader = "user"
)

// texts are the templates, by kind and reader.
type texts map[string]*template.Template

func name(k Kind, r reader) string { return string(k) + "." + string(r) + ".txt" }

// load returns our templates, and those of dir in their place.
func load(dir string) (texts, error) {
	out := texts{}
	var errs []error
	for _, k := range Kinds {
		for _, r := range []reader{admin, user} {
			n := name(k, r)
			b, err := fs.ReadFile(shipped, "templates/"+n)
			if err != nil {
				return nil, fmt.Errorf("notice: %w", err)
			}
			if dir != "" {
				own, err := readFile(filepath.Join(dir, n), maxTemplate)
				switch {
				case err == nil:
					b = own
				case !errors.Is(err, os.ErrNotExist):
					errs = append(errs, fmt.Errorf("notice template: %w", err))
					continue
				}
			}
			t, err := compile(n, string(b))
			if err == nil {
				_, err = render(t, sample(k))
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("notice template %s: %w", n, err))
				continue
			}
			out[n] = t
		}
	}
	return out, errors.Join(errs...)
}

// compile parses a template and refuses what could run for long.
func compile(n, text string) (*template.Template, error) {
	t, err := template.New(n).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 {
		return nil, errors.New("it may not define other templates")
	}
	return t, allowed(t.Root, 0)
}

// allowed walks the tree. A range may go over a field only: over a number it
// would go on for as long as the number is.
func allowed(n parse.Node, ranges int) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			if err := allowed(c, ranges); err != nil {
				return err
			}
		}
	case *parse.IfNode:
		return errors.Join(allowed(n.List, ranges), allowed(n.ElseList, ranges))
	case *parse.WithNode:
		return errors.Join(allowed(n.List, ranges), allowed(n.ElseList, ranges))
	case *parse.RangeNode:
		if ranges++; ranges > maxNested {
			return errors.New("too many ranges in one another")
		}
		if !lists(n.Pipe) {
			return errors.New("a range goes over .Lines or .Facts")
		}
		return errors.Join(allowed(n.List, ranges), allowed(n.ElseList, ranges))
	case *parse.TemplateNode:
		return errors.New("it may not use other templates")
	}
	return nil
}

// lists reports whether a pipe is .Lines or .Facts alone.
func lists(p *parse.PipeNode) bool {
	if len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return false
	}
	var path []string
	switch a := p.Cmds[0].Args[0].(type) {
	case *parse.FieldNode:
		path = a.Ident
	case *parse.VariableNode:
		if path = a.Ident; len(path) > 0 && path[0] == "$" {
			path = path[1:]
		}
	}
	return len(path) == 1 && (path[0] == "Lines" || path[0] == "Facts")
}

// render returns the text for e, without controls but line ends.
func render(t *template.Template, e Event) (string, error) {
	var b strings.Builder
	if err := t.Execute(&limited{w: &b, left: maxText}, e); err != nil {
		return "", err
	}
	text := strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || r == unicode.ReplacementChar) {
			return -1
		}
		return r
	}, b.String())
	if subject, _ := split(text); subject == "" {
		return "", errors.New("the first line is the subject, and it is empty")
	}
	return text, nil
}

// split cuts a text into its subject and the rest.
func split(text string) (subject, body string) {
	subject, body, _ = strings.Cut(strings.TrimLeft(text, "\n"), "\n")
	subject = strings.TrimSpace(subject)
	if len(subject) > maxSubject {
		subject = strings.ToValidUTF8(subject[:maxSubject], "")
	}
	return subject, strings.TrimLeft(body, "\n")
}

// limited fails when more is written than is left.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errTooLong
	}
	return l.w.Write(p)
}

// sample is an event by which templates are tried.
func sample(k Kind) Event {
	return Event{Kind: k, Key: "x", Time: time.Unix(1_800_000_000, 0), User: "alice@example.org", Host: "mx.example.org",
		Title: "sending is held", Lines: []string{"60 recipients within an hour"}, Facts: []Fact{{"limit", "200/hour"}}}
}
