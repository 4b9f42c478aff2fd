package sink

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// program is a command that writes down how it was called.
type program struct {
	t         *testing.T
	out, file string
}

func newProgram(t *testing.T) *program {
	dir := t.TempDir()
	return &program{t, filepath.Join(dir, "out"), filepath.Join(dir, "told")}
}

// run starts the sink with bans that hold, does more, and ends it.
func (p *program) run(hold []Ban, more func(c *command), argv ...string) (err error) {
	p.t.Helper()
	c := newCommand(CommandConfig{Argv: append([]string{"/bin/sh", "-c", `echo "$1 $2" >> ` + p.out, "sh", "{action}", "{network}"}, argv...),
		Timeout: unit.Duration(10 * time.Second), Told: p.file})
	err = c.sync(p.t.Context(), hold)
	if more != nil {
		more(c)
	}
	if err := c.close(); err != nil {
		p.t.Error(err)
	}
	return err
}

// wrote has the file of a run before.
func (p *program) wrote(tail string, all ...Ban) {
	p.t.Helper()
	var b []byte
	for _, ban := range all {
		var err error
		if b, err = appendTold(b, Change{Ban: ban}); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := os.WriteFile(p.file, append(b, tail...), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) called(want ...string) {
	p.t.Helper()
	b, err := os.ReadFile(p.out)
	if got := strings.TrimSpace(string(b)); got != strings.Join(want, "\n") {
		p.t.Errorf("called with %q, %v, want %q", got, err, want)
	}
	if err := os.WriteFile(p.out, nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// TestLiftsMadeWhileDown: what ended or was lifted while nobody watched is lifted
// at the next start, once, and what holds is told again.
func TestLiftsMadeWhileDown(t *testing.T) {
	p := newProgram(t)
	one, two, three := ban("203.0.113.1/32", "imap"), ban("203.0.113.2/32", "imap"), ban("203.0.113.3/32", "imap")
	err := p.run([]Ban{one, two}, func(c *command) {
		for _, ch := range []Change{{Ban: three}, {Ban: one, Lifted: true}} {
			if err := c.apply(t.Context(), ch); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	p.called("ban 203.0.113.1", "ban 203.0.113.2", "ban 203.0.113.3", "lift 203.0.113.1")
	if err := p.run([]Ban{three}, nil); err != nil { // two was lifted meanwhile
		t.Error(err)
	}
	p.called("lift 203.0.113.2", "ban 203.0.113.3")
	if err := p.run(nil, nil); err != nil {
		t.Error(err)
	}
	p.called("lift 203.0.113.3")
	if b, err := os.ReadFile(p.file); err != nil || len(b) != 0 {
		t.Errorf("the file has %q, %v", b, err)
	}
}

// TestToldDamaged: a damaged line is told once, and the others count.
func TestToldDamaged(t *testing.T) {
	p := newProgram(t)
	p.wrote(`{"ban":`, ban("203.0.113.2/32", "imap"))
	err := p.run(nil, func(c *command) {
		if err := c.sync(t.Context(), nil); err != nil {
			t.Errorf("a damaged line is an error twice: %v", err)
		}
	})
	if err == nil {
		t.Error("a damaged line is no error")
	}
	p.called("lift 203.0.113.2")
}

// TestToldOver: who knows when a ban ends is not called for one that is over.
func TestToldOver(t *testing.T) {
	p := newProgram(t)
	over := ban("203.0.113.2/32", "imap")
	over.Until = time.Now().Add(-time.Second)
	p.wrote("", over)
	if err := os.WriteFile(p.out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.run(nil, nil, "{seconds}"); err != nil {
		t.Error(err)
	}
	p.called()
}

func FuzzParseTold(f *testing.F) {
	line, err := appendTold(nil, Change{Ban: Ban{ID: "x", Network: netip.MustParsePrefix("2001:db8::/64"), Services: []string{"imap"}}, Lifted: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add([]byte(`{"ban":{"network":"203.0.113.7/24","services":["imap"]}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseTold(b)
		if err != nil {
			return
		}
		line, err := appendTold(nil, c)
		if err != nil {
			return // a time that JSON has no form for
		}
		if again, err := parseTold(line); err != nil || again.Ban.Network != c.Ban.Network || again.Lifted != c.Lifted {
			t.Errorf("parseTold(appendTold(%+v)) = %+v, %v", c, again, err)
		}
	})
}
