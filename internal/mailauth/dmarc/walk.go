package dmarc

// at is a record with the place where it stands.
type at struct {
	name   string
	record *Record
}

// walk is what a walk up the tree met (RFC 9989 §4.10).
type walk struct {
	start   string
	records []at // from the longest name to the shortest
	failed  bool // DNS did not answer, so that nothing is known of the rest
}

// walk goes up the tree from start, as far as the facts reach.
func (e *evaluator) walk(start string) walk {
	w := walk{start: start}
	for name := start; name != ""; name = above(name) {
		a := e.record(name)
		if a == nil {
			break
		}
		if a.Outcome == NoAnswer {
			w.failed = true
			break
		}
		if a.Record == nil {
			continue
		}
		w.records = append(w.records, at{name, a.Record})
		if a.Record.PSD != PSDUnknown {
			break
		}
	}
	return w
}

// organization returns the Organizational Domain of the start (RFC 9989
// §4.10.2).
func (w walk) organization() string {
	for _, r := range w.records {
		if r.record.PSD == PSDNo {
			return r.name
		}
		if r.record.PSD == PSDYes && r.name != w.start {
			return oneMore(r.name, w.start)
		}
	}
	if len(w.records) > 0 {
		return w.records[len(w.records)-1].name
	}
	return w.start
}

// applied returns the record that holds for the start (RFC 9989 §4.10.1): its
// own, that of its organization org, or that of the public suffix above org;
// never one between. The record is nil when there is none.
func (w walk) applied(org string) at {
	for _, name := range []string{w.start, org} {
		for _, r := range w.records {
			if r.name == name {
				return r
			}
		}
	}
	if n := len(w.records); n > 0 && w.records[n-1].record.PSD == PSDYes {
		return w.records[n-1]
	}
	return at{}
}
