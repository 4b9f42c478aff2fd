package milter

import (
	"bytes"
	"strings"
)

// stage is where in a session a macro was defined, in the order of time.
type stage int

const (
	stageConnect stage = iota
	stageHelo
	stageMail
	stageRcpt
	stageData
	stageEOH // HEADER and EOH: milter_end_of_header_macros
	stageEOM // BODY and EOM: milter_end_of_data_macros
	stages
)

// stageOf returns the stage of the macros that come with c.
func stageOf(c command) (stage, bool) {
	switch c {
	case cmdConnect:
		return stageConnect, true
	case cmdHelo:
		return stageHelo, true
	case cmdMail:
		return stageMail, true
	case cmdRcpt:
		return stageRcpt, true
	case cmdData:
		return stageData, true
	case cmdHeader, cmdEOH:
		return stageEOH, true
	case cmdBody, cmdEOM:
		return stageEOM, true
	}
	return 0, false
}

// macros holds the macros of each stage until the stage is repeated: Postfix
// tells {auth_authen} at MAIL only, and TLS at HELO. They are kept as they
// came, NUL between them: most are never looked up.
type macros struct {
	byStage [stages][]byte
	// pending are those of a packet whose command has not come yet.
	pending      []byte
	pendingStage stage
	waits        bool
}

// put takes the data of a macro packet that checkMacros let pass.
func (m *macros) put(data []byte) {
	s, ok := stageOf(command(data[0]))
	if !ok {
		return
	}
	m.pending = append(m.pending[:0], data[1:]...)
	m.pendingStage, m.waits = s, true
}

// begin says that the command c came: what was put for it holds now, and what
// later stages of an earlier message said does not.
func (m *macros) begin(c command) {
	s, ok := stageOf(c)
	if !ok {
		return
	}
	m.reset(s + 1)
	m.byStage[s] = m.byStage[s][:0]
	if m.waits && m.pendingStage == s {
		m.byStage[s] = append(m.byStage[s], m.pending...)
	}
	m.waits = false
}

// reset forgets stage s and all after it.
func (m *macros) reset(s stage) {
	for ; s < stages; s++ {
		m.byStage[s] = m.byStage[s][:0]
	}
}

// value returns the macro of that name from the latest stage that has it; "" if
// none has. Braces belong to names of more than one letter.
func (m *macros) value(name string) string {
	for s := stages - 1; s >= 0; s-- {
		for b := m.byStage[s]; len(b) > 0; {
			k, rest, _ := bytes.Cut(b, []byte{0})
			v, rest, _ := bytes.Cut(rest, []byte{0})
			if string(k) == name {
				return strings.ToValidUTF8(string(v), "?")
			}
			b = rest
		}
	}
	return ""
}
