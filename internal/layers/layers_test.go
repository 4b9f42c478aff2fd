package layers

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gatepost/gatepost"

// ground lists the packages that stay on the ground.
var ground = []string{
	"internal/ascii", "internal/brand", "internal/dkimimport", "internal/dsn", "internal/fit", "internal/freemail", "internal/header", "internal/link", "internal/mailaddr", "internal/maildirsize", "internal/mailauth/arc",
	"internal/mailauth/authres", "internal/mailauth/dkim", "internal/mailerr", "internal/netaddr", "internal/rawmsg", "internal/rawmsg/hostile", "internal/received", "internal/reply", "internal/seal", "internal/secret", "internal/spool",
	"internal/unit", "internal/verdict",
}

// groundModules may be imported on the ground besides the standard library.
var groundModules = []string{"golang.org/x/text", "golang.org/x/net/idna", "golang.org/x/net/publicsuffix"}

// maxAbove is how many packages of ours, ground aside, a package below cmd may
// import on average. The ground is the words that all speak: to use one more of
// them says nothing about layers.
const maxAbove = 2

// daemons speak one protocol each.
var daemons = []string{"milter", "policyd", "authd", "lmtpd"}

// badNames say nothing about what a package provides.
var badNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base", "lib"}

// file is what the rules look at.
type file struct {
	path    string // slash-separated, below the module's root
	pkg     string // the name in the package clause
	imports []string
	blank   []string // imports for their side effect
	init    bool     // declares func init
}

func (f file) dir() string { return path.Dir(f.path) }
func (f file) test() bool  { return strings.HasSuffix(f.path, "_test.go") }

// under reports whether p is dir or below it.
func under(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// own returns the package of ours that an import names, below the root.
func own(imp string) (string, bool) { return strings.CutPrefix(imp, module+"/") }

func isStd(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

// rule is one sentence of the plan: findings for one file, "" for none.
type rule func(f file) string

// rules are held against each file.
var rules = []rule{
	func(f file) string {
		if f.test() || !slices.Contains(ground, f.dir()) {
			return ""
		}
		return each(f, func(imp string) string {
			o, ours := own(imp)
			switch {
			case ours && slices.Contains(ground, o), !ours && isStd(imp):
				return ""
			case slices.ContainsFunc(groundModules, func(m string) bool { return under(imp, m) }):
				return ""
			}
			return "a ground package imports the standard library and the ground only"
		})
	},
	func(f file) string {
		if f.test() || under(f.path, "cmd") || under(f.path, "internal/e2e") {
			return ""
		}
		return each(f, func(imp string) string {
			o, ours := own(imp)
			if ours && (o == "cmd" || strings.HasPrefix(o, "cmd/")) {
				return "nothing imports cmd"
			}
			if ours && under(o, "internal/e2e") {
				return "only end-to-end tests import internal/e2e"
			}
			for _, d := range daemons {
				if !ours || !under(o, d) || under(f.path, d) {
					continue
				}
				if under(f.path, "internal") {
					return "an internal package never imports a daemon"
				}
				return "a daemon never imports another: what two need moves down"
			}
			return ""
		})
	},
	func(f file) string {
		base := path.Base(f.path)
		if f.test() || !strings.HasPrefix(base, "wire") && !strings.HasPrefix(base, "decide") {
			return ""
		}
		return each(f, func(imp string) string {
			if (imp == "net" || strings.HasPrefix(imp, "net/")) && imp != "net/netip" && imp != "net/url" ||
				under(imp, "os") || under(imp, "sync") || under(imp, "log") {
				return "wire and decide are pure: no net but net/netip, no os, sync or log"
			}
			return ""
		})
	},
	func(f file) string {
		return each(f, func(imp string) string {
			if imp == "net/mail" && !f.test() {
				return "net/mail is not made for hostile input: use mailaddr, header and rawmsg"
			}
			if under(imp, "github.com/goccy/go-yaml") && !f.test() && !under(f.path, "cmd") && f.dir() != "internal/config" {
				return "below cmd only internal/config knows YAML"
			}
			return ""
		})
	},
	func(f file) string {
		secrets := []string{"authd", "internal/password", "internal/secret", "internal/keys", "internal/guard"}
		if f.test() || !slices.ContainsFunc(secrets, func(d string) bool { return under(f.path, d) }) {
			return ""
		}
		return each(f, func(imp string) string {
			if under(imp, "math/rand") {
				return "packages with secrets draw from crypto/rand"
			}
			return ""
		})
	},
	func(f file) string {
		if f.test() || strings.HasSuffix(f.dir(), "test") || under(f.path, "internal/shared") || under(f.path, "internal/e2e") {
			return ""
		}
		return each(f, func(imp string) string {
			if o, ours := own(imp); imp == "testing" || ours && (o == "internal/shared" || strings.HasSuffix(o, "test")) {
				return "only tests import what is made for tests"
			}
			return ""
		})
	},
	func(f file) string {
		if f.init {
			return "no func init: cmd names each part that it uses"
		}
		if len(f.blank) > 0 {
			return "imports " + f.blank[0] + " for its side effect"
		}
		name := strings.TrimSuffix(f.pkg, "_test")
		if slices.Contains(badNames, name) {
			return "package " + name + " is not named for what it provides"
		}
		if d := path.Base(f.dir()); name != d && name != "main" {
			return "package " + name + " is not named like its directory " + d
		}
		return ""
	},
}

// each returns the first import that bad finds fault with, and the fault.
func each(f file, bad func(imp string) string) string {
	for _, imp := range f.imports {
		if s := bad(imp); s != "" {
			return "imports " + imp + ": " + s
		}
	}
	return ""
}

// check returns what is wrong with files, one line each.
func check(files []file) []string {
	var faults []string
	for _, f := range files {
		for _, r := range rules {
			if s := r(f); s != "" {
				faults = append(faults, f.path+": "+s)
			}
		}
	}
	return append(faults, shape(files)...)
}

// shape looks at the graph as a whole. cmd is not counted: to name every part
// is what it is for.
func shape(files []file) []string {
	imports := map[string]map[string]bool{}
	for _, f := range files {
		if f.test() || under(f.path, "cmd") || strings.Contains(f.path, "/cmd/") {
			continue
		}
		if imports[f.dir()] == nil {
			imports[f.dir()] = map[string]bool{}
		}
		for _, imp := range f.imports {
			if o, ok := own(imp); ok && !slices.Contains(ground, o) {
				imports[f.dir()][o] = true
			}
		}
	}
	n, sum, bare := len(imports), 0, 0
	var most []string
	for dir, set := range imports {
		sum += len(set)
		if len(set) == 0 || slices.Contains(ground, dir) {
			bare++
		}
		most = append(most, fmt.Sprintf("%2d %s", len(set), dir))
	}
	slices.SortFunc(most, func(a, b string) int { return cmp.Compare(b, a) })
	most = most[:min(5, len(most))]
	var faults []string
	if sum > maxAbove*n {
		faults = append(faults, fmt.Sprintf("%d packages have %d imports of ours, above the ground, more than %d on average: a layer is missing; most have %s", n, sum, maxAbove, strings.Join(most, ", ")))
	}
	if 3*bare < n {
		faults = append(faults, fmt.Sprintf("%d of %d packages stand on the ground, less than a third", bare, n))
	}
	return faults
}

// TestLayers holds the plan against the module.
func TestLayers(t *testing.T) {
	files, err := load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d files found", len(files))
	}
	for _, s := range check(files) {
		t.Error(s)
	}
}

// load reads every Go file below root but what lies in testdata and in hidden
// directories.
func load(root string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != root && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f, err := parse(p, filepath.ToSlash(rel))
		files = append(files, f)
		return err
	})
	return files, err
}

func parse(name, rel string) (file, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	f := file{path: rel, pkg: tree.Name.Name}
	for _, i := range tree.Imports {
		imp, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imp)
		if i.Name != nil && i.Name.Name == "_" && imp != "embed" {
			f.blank = append(f.blank, imp)
		}
	}
	for _, d := range tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			f.init = true
		}
	}
	return f, nil
}

// TestRules shows that each rule bites, and what it lets pass.
func TestRules(t *testing.T) {
	const m = module + "/"
	for _, tc := range []struct {
		name string
		f    file
		want string // a part of the fault, "" for none
	}{
		{"ground on ground", file{path: "internal/reply/reply.go", pkg: "reply", imports: []string{"fmt", m + "internal/mailerr"}}, ""},
		{"ground on a part", file{path: "internal/reply/reply.go", pkg: "reply", imports: []string{m + "internal/state"}}, "ground package"},
		{"ground on a library", file{path: "internal/header/h.go", pkg: "header", imports: []string{"github.com/x/y"}}, "ground package"},
		{"ground on x/text", file{path: "internal/header/h.go", pkg: "header", imports: []string{"golang.org/x/text/encoding"}}, ""},
		{"ground test on a part", file{path: "internal/header/h_test.go", pkg: "header", imports: []string{m + "internal/shared"}}, ""},
		{"daemon on daemon", file{path: "milter/a.go", pkg: "milter", imports: []string{m + "policyd"}}, "never imports another"},
		{"daemon on itself below", file{path: "milter/sub/a.go", pkg: "sub", imports: []string{m + "milter"}}, ""},
		{"daemon on cmd", file{path: "milter/a.go", pkg: "milter", imports: []string{m + "cmd/gatepost"}}, "nothing imports cmd"},
		{"part on daemon", file{path: "internal/admin/a.go", pkg: "admin", imports: []string{m + "authd"}}, "never imports a daemon"},
		{"cmd on daemons", file{path: "cmd/gatepost/a.go", pkg: "main", imports: []string{m + "authd", m + "milter"}}, ""},
		{"e2e on daemons", file{path: "internal/e2e/a.go", pkg: "e2e", imports: []string{m + "authd"}}, ""},
		{"part on e2e", file{path: "internal/admin/a.go", pkg: "admin", imports: []string{m + "internal/e2e/lab"}}, "end-to-end"},
		{"pure wire", file{path: "authd/wire_sasl.go", pkg: "authd", imports: []string{"net/netip", "strings"}}, ""},
		{"wire with net", file{path: "authd/wire_sasl.go", pkg: "authd", imports: []string{"net"}}, "are pure"},
		{"decide with a log", file{path: "authd/decide.go", pkg: "authd", imports: []string{"log/slog"}}, "are pure"},
		{"decide with sync/atomic", file{path: "authd/decide.go", pkg: "authd", imports: []string{"sync/atomic"}}, "are pure"},
		{"session with net", file{path: "authd/session.go", pkg: "authd", imports: []string{"net"}}, ""},
		{"net/mail", file{path: "lmtpd/a.go", pkg: "lmtpd", imports: []string{"net/mail"}}, "hostile"},
		{"YAML in a daemon", file{path: "lmtpd/a.go", pkg: "lmtpd", imports: []string{"github.com/goccy/go-yaml"}}, "knows YAML"},
		{"math/rand in authd", file{path: "authd/a.go", pkg: "authd", imports: []string{"math/rand/v2"}}, "crypto/rand"},
		{"testing in a part", file{path: "internal/state/a.go", pkg: "state", imports: []string{"testing"}}, "made for tests"},
		{"test support in a part", file{path: "internal/state/a.go", pkg: "state", imports: []string{m + "internal/state/statetest"}}, "made for tests"},
		{"testing in test support", file{path: "internal/state/statetest/a.go", pkg: "statetest", imports: []string{"testing"}}, ""},
		{"init", file{path: "milter/a.go", pkg: "milter", init: true}, "func init"},
		{"side effect", file{path: "milter/a.go", pkg: "milter", blank: []string{"x"}}, "side effect"},
		{"bad name", file{path: "internal/util/a.go", pkg: "util"}, "not named for"},
		{"other name", file{path: "internal/a/a.go", pkg: "b"}, "not named like"},
		{"external test", file{path: "internal/a/a_test.go", pkg: "a_test"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var faults []string
			for _, r := range rules {
				if s := r(tc.f); s != "" {
					faults = append(faults, s)
				}
			}
			got := strings.Join(faults, "; ")
			if tc.want == "" && got != "" || tc.want != "" && !strings.Contains(got, tc.want) {
				t.Errorf("%+v: %q, want %q", tc.f, got, tc.want)
			}
		})
	}
	wide := []file{{path: "internal/a/a.go", pkg: "a", imports: []string{m + "b", m + "c", m + "d", m + "e"}}}
	if got := shape(wide); len(got) != 2 {
		t.Errorf("shape = %q, want two faults", got)
	}
}
