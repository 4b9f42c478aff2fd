package scan

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/config"
)

// TestAdminRulesPage holds docs/admin-rules.md to the code: each piece of
// configuration is taken, and each fact of a rule is explained.
func TestAdminRulesPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/admin-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	page, n := string(b), 0
	for _, part := range strings.Split(page, "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		var file struct {
			Scan Config `yaml:"scan"`
		}
		file.Scan = Default()
		if err := config.Decode("page", []byte(text), &file); err != nil {
			t.Errorf("%v in\n%s", err, text)
			continue
		}
		if err := file.Scan.Validate(); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		n += len(file.Scan.AdminRules)
	}
	if n < 8 {
		t.Errorf("only %d rules were found", n)
	}
	for name := range factNames(reflect.TypeFor[env](), "") {
		if !strings.Contains(page, "`"+name) && !strings.Contains(page, "`."+name[strings.IndexByte(name, '.')+1:]+"`") {
			t.Errorf("the page does not tell of %s", name)
		}
	}
	for _, key := range config.Keys(AdminRule{}) {
		if !strings.Contains(page, "| `"+key+"` |") {
			t.Errorf("the page does not tell of %s", key)
		}
	}
}

// factNames are the names that rules may use, with those of their parts.
func factNames(t reflect.Type, prefix string) map[string]bool {
	out := map[string]bool{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("expr")
		if name == "" {
			continue
		}
		in := f.Type
		if in.Kind() == reflect.Slice {
			in = in.Elem()
		}
		out[prefix+name] = true
		if in.Kind() == reflect.Struct {
			for part := range factNames(in, prefix+name+".") {
				out[part] = true
			}
		}
	}
	return out
}
