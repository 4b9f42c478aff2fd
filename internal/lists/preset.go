package lists

import "slices"

// terms says who runs a list, who may ask it and where that is written.
type terms struct {
	by, free, url string
}

// preset is a list as those who run it describe it.
type preset struct {
	name string
	list List
	terms
}

// Terms are the terms of a preset, for a person to read before use. They were
// collected by hand: what stands at URL holds.
type Terms struct {
	Preset string `json:"preset"`
	// By is who runs the list, Free who may ask it without paying.
	By   string `json:"by"`
	Free string `json:"free"`
	URL  string `json:"url"`
	// Key says that the list wants an account, whose key goes into key_file.
	Key bool `json:"key"`
	// Of is what it is asked about.
	Of []Of `json:"of"`
}

// Presets returns the terms of all presets, in the order of the manual.
func Presets() []Terms {
	out := make([]Terms, len(presets))
	for i, p := range presets {
		out[i] = p.public()
	}
	return out
}

func (p preset) public() Terms {
	return Terms{Preset: p.name, By: p.by, Free: p.free, URL: p.url, Key: p.list.KeyFile != "" || p.keyed(), Of: p.list.Of}
}

// PresetNames returns the names of all presets.
func PresetNames() []string {
	out := make([]string, len(presets))
	for i, p := range presets {
		out[i] = p.name
	}
	return out
}

// Terms returns the terms of the presets that c names, each once.
func (c Config) Terms() []Terms {
	var out []Terms
	for i, l := range c.Lists {
		p, ok := presetOf(l.Preset)
		if ok && !slices.ContainsFunc(c.Lists[:i], func(o List) bool { return o.Preset == l.Preset }) {
			out = append(out, p.public())
		}
	}
	return out
}

func presetOf(name string) (preset, bool) {
	i := slices.IndexFunc(presets, func(p preset) bool { return p.name == name })
	if i < 0 || name == "" {
		return preset{}, false
	}
	return presets[i], true
}

// over returns the preset's list with what l says instead.
func (p preset) over(l List) List {
	m := p.list
	m.Preset, m.Mode, m.KeyFile, m.Scores, m.MayReject = l.Preset, l.Mode, l.KeyFile, l.Scores, l.MayReject
	for _, s := range []struct {
		to   *string
		from string
	}{{&m.Name, l.Name}, {&m.Zone, l.Zone}, {&m.Hash, l.Hash}, {&m.TestListed, l.TestListed}, {&m.TestNotListed, l.TestNotListed}} {
		if s.from != "" {
			*s.to = s.from
		}
	}
	if l.Of != nil {
		m.Of = l.Of
	}
	if l.Codes != nil {
		m.Codes = l.Codes
	}
	m.Blocked = append(slices.Clone(m.Blocked), l.Blocked...)
	return m
}
