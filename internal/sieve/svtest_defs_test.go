package sieve

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// do and ask are a command and a test of the suite.
type do func(m *machine) error

func (f do) exec(m *machine) error { return f(m) }

type ask func(m *machine) (bool, error)

func (f ask) eval(m *machine) (bool, error) { return f(m) }

// both is for what is used as either. As a command it has to hold.
type both struct{ ask }

func (b both) exec(m *machine) error {
	ok, err := b.ask(m)
	if err == nil && !ok {
		err = failure("a command of the suite failed")
	}
	return err
}

// defs are the commands of vnd.dovecot.testsuite.
func (h *harness) defs() []*def {
	const ext = "vnd.dovecot.testsuite"
	one := []position{str("value")}
	plain := func(name string, f func(m *machine) error) *def {
		return &def{name: name, ext: ext, build: func(*compiler, *call) any { return do(f) }}
	}
	withText := func(name string, f func(m *machine, s string) error) *def {
		return &def{name: name, ext: ext, min: 1, pos: one, build: func(c *compiler, cl *call) any {
			t := c.text(cl.pos[0].text, cl.pos[0].at)
			return do(func(m *machine) error { return f(m, t.eval(m)) })
		}}
	}
	index := []tagDef{{name: "index", ext: ext, param: argNumber}}
	return []*def{
		{name: "test", ext: ext, min: 1, pos: one, block: true, build: h.buildTest},
		{name: "test_set", ext: ext, min: 2, pos: []position{str("item"), str("value")}, build: func(c *compiler, cl *call) any {
			item, value := c.text(cl.pos[0].text, cl.pos[0].at), c.text(cl.pos[1].text, cl.pos[1].at)
			return do(func(m *machine) error { return h.set(m, item.eval(m), value.eval(m)) })
		}},
		withText("test_fail", func(_ *machine, s string) error { return failure(s) }),
		{name: "test_config_set", ext: ext, min: 2, pos: []position{str("name"), str("value")}, build: func(c *compiler, cl *call) any {
			name, value := c.text(cl.pos[0].text, cl.pos[0].at), c.text(cl.pos[1].text, cl.pos[1].at)
			return do(func(m *machine) error { h.config[name.eval(m)] = value.eval(m); return nil })
		}},
		withText("test_config_unset", func(_ *machine, s string) error { delete(h.config, s); return nil }),
		{name: "test_config_reload", ext: ext, tags: [][]tagDef{{{name: "extension", ext: ext, param: argString}}},
			build: func(*compiler, *call) any { return do(func(*machine) error { h.applyConfig(); return nil }) }},
		{name: "test_script_compile", ext: ext, test: true, min: 1, pos: one, build: func(c *compiler, cl *call) any {
			path := c.text(cl.pos[0].text, cl.pos[0].at)
			return ask(func(m *machine) (bool, error) { return h.compileFile(path.eval(m)), nil })
		}},
		{name: "test_script_run", ext: ext, test: true, tags: [][]tagDef{{{name: "append_result", ext: ext}}}, build: func(_ *compiler, cl *call) any {
			more := cl.has("append_result")
			return ask(func(m *machine) (bool, error) { return h.runScript(m, more), nil })
		}},
		{name: "test_multiscript", ext: ext, test: true, min: 1, pos: []position{list("scripts")}, build: func(c *compiler, cl *call) any {
			paths := c.texts(cl.pos[0].strings(), cl.pos[0].at)
			return ask(func(m *machine) (bool, error) { return h.multiscript(m, evalAll(paths, m)), nil })
		}},
		{name: "test_error", ext: ext, test: true, min: 1, pos: []position{list("keys")}, tags: [][]tagDef{matchTags, index},
			build: h.buildList(func(*machine) []string { return h.errs })},
		{name: "test_result_action", ext: ext, test: true, min: 1, pos: []position{list("keys")}, tags: [][]tagDef{matchTags, index},
			build: h.buildList(func(m *machine) []string {
				var out []string
				for _, a := range m.res.Actions {
					out = append(out, string(a.Kind))
				}
				return out
			})},
		{name: "test_result_execute", ext: ext, test: true, either: true, build: func(*compiler, *call) any {
			return both{func(m *machine) (bool, error) { return h.execute(m.res, m.msg), nil }}
		}},
		plain("test_result_reset", func(m *machine) error { h.reset(m); return nil }),
		plain("test_result_print", func(*machine) error { return nil }),
		{name: "test_message", ext: ext, test: true, either: true, min: 1, pos: []position{{what: "number", kind: argNumber}}, build: h.buildMessage,
			tags: [][]tagDef{{{name: "smtp", ext: ext, group: "source"}, {name: "folder", ext: ext, group: "source", param: argString}}}},
		withText("test_mailbox_create", func(_ *machine, s string) error {
			h.folders[canonicalMailbox(s)] = nil
			return nil
		}),
		withText("test_binary_save", func(_ *machine, s string) error {
			h.binaries[s] = h.script.Binary()
			h.script = nil
			return nil
		}),
		withText("test_binary_load", func(_ *machine, s string) (err error) {
			opts := h.compile
			opts.Include = nil
			h.script, err = Load(h.binaries[s], opts)
			return err
		}),
	}
}

func (h *harness) buildTest(c *compiler, cl *call) any {
	name := c.text(cl.pos[0].text, cl.pos[0].at)
	body := cl.block
	return do(func(m *machine) error {
		h.tests++
		err := m.run(body)
		if errors.Is(err, errStop) || errors.Is(err, errReturn) {
			return nil
		}
		if err != nil {
			h.failed = append(h.failed, name.eval(m)+": "+err.Error())
		}
		m.loops = nil
		m.steps = 0
		return nil
	})
}

func (h *harness) buildList(values func(m *machine) []string) func(c *compiler, cl *call) any {
	return func(c *compiler, cl *call) any {
		mt := c.match(cl, cl.pos[0])
		x := index{}
		if a := cl.param("index"); a != nil {
			x.n = a.num
		}
		return ask(func(m *machine) (bool, error) { return mt.each(m, x.pick(values(m))) })
	}
}

func (h *harness) set(m *machine, item, value string) error {
	switch item {
	case "message":
		h.setMessage(m, h.message(value))
	case "envelope.from":
		if h.env.Envelope.From = value; value == "<>" {
			h.env.Envelope.From = ""
		}
	case "envelope.to":
		h.env.Envelope.To = value
	case "envelope.orig_to":
		h.env.Envelope.OrigTo = value
	case "envelope.auth":
		h.env.Envelope.Auth = value
	default:
		return failure("unknown item " + item)
	}
	return nil
}

func (h *harness) reset(m *machine) {
	m.res = (*Result)(nil).next()
	m.msg = m.orig
	h.smtp, h.kept = nil, false
}

func (h *harness) compileFile(path string) bool {
	h.errs, h.script = nil, nil
	src, err := os.ReadFile(filepath.Join(h.dir, path))
	if err != nil {
		h.errs = []string{err.Error()}
		return false
	}
	h.compile = h.options(path)
	h.script, err = Compile(string(src), h.compile)
	var es Errors
	if errors.As(err, &es) {
		for _, e := range es {
			h.errs = append(h.errs, e.Text)
		}
	}
	return err == nil
}

func (h *harness) runScript(m *machine, more bool) bool {
	h.errs = nil
	prev := m.res
	if !more {
		prev, h.kept = nil, false
	}
	if h.script == nil {
		return false
	}
	res, err := Run(context.Background(), h.script, h.env, m.msg, prev)
	if err != nil {
		h.errs = append(h.errs, err.Error())
		return false
	}
	h.errs = append(h.errs, res.Warnings...)
	m.res = res
	return true
}

func (h *harness) multiscript(m *machine, paths []string) bool {
	var scripts []*Script
	for _, p := range paths {
		if !h.compileFile(p) {
			return false
		}
		scripts = append(scripts, h.script)
	}
	h.kept = false
	res, err := RunAll(context.Background(), scripts, h.env, m.msg)
	if err != nil {
		h.errs = append(h.errs, err.Error())
		return false
	}
	m.res = res
	return h.execute(res, m.msg)
}

func (h *harness) buildMessage(c *compiler, cl *call) any {
	n, folder := int(cl.pos[0].num), text{}
	if a := cl.param("source"); a != nil {
		folder = c.text(a.text, a.at)
	}
	return both{func(m *machine) (bool, error) {
		var s stored
		switch name := canonicalMailbox(folder.eval(m)); {
		case name == "" && n < len(h.smtp):
			s.raw = h.smtp[n].Raw
		case name != "" && n < len(h.folders[name]):
			s = h.folders[name][n]
		default:
			return false, nil
		}
		msg := NewMessage(rawmsg.Scan(s.raw, rawmsg.Default()))
		msg.flags = s.flags
		h.setMessage(m, msg)
		if folder.lit == "" {
			h.env.Envelope.From, h.env.Envelope.To = h.smtp[n].From, h.smtp[n].To[0]
		}
		return true, nil
	}}
}
