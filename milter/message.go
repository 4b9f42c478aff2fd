package milter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/spool"
)

// maxRcptBytes bounds what a message remembers of its recipients. Postfix lets
// a thousand pass (smtpd_recipient_limit); the rest is only counted.
const maxRcptBytes = 256 << 10

// message is one message on its way in. It is rebuilt as it stands in Postfix's
// queue, with CRLF, because signatures are checked and made over that.
type message struct {
	cfg     *Config
	origin  origin
	arrived time.Time // of MAIL, as in Postfix's Received

	mailFrom string      // as typed, with its brackets
	params   []string    // ESMTP parameters of MAIL
	rcptTo   []recipient // up to maxRcptBytes
	rcptSize int
	rcpts    int // all of them
	// oddRcpt says that the path of a recipient is not kept as it was typed.
	oddRcpt bool

	fields fieldIndex
	buf    *spool.Buffer
	keep   int64 // bytes that anybody wants; more is only counted
	// tail is who may want what is behind keep.
	tail      tail
	size      int64
	headerEnd int64 // first byte of the body, 0 within the header
	scratch   []byte
	spoolErr  error
	bigHeader bool
}

// tail says who wants more of a message than the rules look at. Whether he does
// is known at the end of its header: a message without a signature that cannot
// go into quarantine is received to its end, and the rest of it kept nowhere.
type tail struct {
	// Asked says that keep is right.
	Asked bool
	// Always is for who signs or seals the message.
	Always bool
	// Signed is for who checks signatures.
	Signed bool
	// Aside is for the quarantine, as far as the settings use it.
	Aside bool
}

// recipient is one RCPT: the path as typed, without brackets, and its ESMTP
// parameters.
type recipient struct {
	Path   string
	Params []string
}

// addRcpt adds a recipient: a path and ESMTP parameters.
func (m *message) addRcpt(args []string) {
	m.rcpts++
	for _, a := range args {
		m.rcptSize += len(a) + 16
	}
	if m.rcptSize > maxRcptBytes {
		return
	}
	path := strings.TrimSuffix(strings.TrimPrefix(args[0], "<"), ">")
	m.oddRcpt = m.oddRcpt || !utf8.ValidString(path)
	m.rcptTo = append(m.rcptTo, recipient{Path: strings.ToValidUTF8(path, "?"), Params: args[1:]})
}

// paths returns the recipients as typed, without brackets.
func (m *message) paths() []string {
	ps := make([]string, len(m.rcptTo))
	for i, r := range m.rcptTo {
		ps[i] = r.Path
	}
	return ps
}

// parameters returns the ESMTP parameters for the journal: those of MAIL, then
// those of each recipient that has some.
func (m *message) parameters() (mailParams, rcptParams string) {
	var rs []string
	for _, r := range m.rcptTo {
		if len(r.Params) > 0 {
			rs = append(rs, r.Path+" "+strings.Join(r.Params, " "))
		}
	}
	return strings.Join(m.params, " "), strings.Join(rs, ", ")
}

// addField adds a header field. Without SMFIP_HDR_LEADSPC the MTA took one
// blank away, if there was any.
func (m *message) addField(name, value []byte, leading bool) {
	if m.bigHeader || m.headerEnd > 0 {
		return
	}
	b := append(append(m.scratch[:0], name...), ':')
	if !leading {
		b = append(b, ' ')
	}
	b = append(appendCRLF(b, value), '\r', '\n')
	m.scratch = b
	if m.size+int64(len(b)) > int64(m.cfg.MaxHeaderBytes) {
		m.bigHeader = true
		return
	}
	start := m.size
	m.write(b)
	m.fields.add(string(name), value, start, m.size)
}

// appendCRLF appends value with CRLF where it is folded. Postfix folds with LF
// and white space; a line end without white space behind it (another milter's
// work) would begin a field that Postfix does not have, so it gets some.
func appendCRLF(dst, value []byte) []byte {
	for {
		n := bytes.IndexByte(value, '\n')
		if n < 0 {
			return append(dst, value...)
		}
		dst = append(dst, bytes.TrimSuffix(value[:n], []byte{'\r'})...)
		dst = append(dst, '\r', '\n')
		value = value[n+1:]
		if len(value) == 0 || value[0] != ' ' && value[0] != '\t' {
			dst = append(dst, '\t')
		}
	}
}

// endHeader ends the header; a second call does nothing.
func (m *message) endHeader() {
	if m.headerEnd == 0 {
		m.write([]byte("\r\n"))
		m.headerEnd = m.size
	}
}

// addBody adds a piece of the body.
func (m *message) addBody(b []byte) {
	if len(b) > 0 && !m.bigHeader {
		m.endHeader()
		m.write(b)
	}
}

// write appends to the spool what somebody wants of b: the whole header, and of
// the body what is within keep.
func (m *message) write(b []byte) {
	want := b
	if m.headerEnd > 0 && m.size+int64(len(b)) > m.keep {
		want = b[:min(int64(len(b)), max(0, m.limit()-m.size))]
	}
	m.size += int64(len(b))
	if len(want) == 0 || m.spoolErr != nil {
		return
	}
	if _, err := m.buf.Write(want); err != nil {
		m.spoolErr = reply.WithError(reply.DiskFull, fmt.Errorf("spool message: %w", err))
	}
}

// limit returns how many bytes of the message anybody wants, once its header is
// known.
func (m *message) limit() int64 {
	if t := &m.tail; !t.Asked {
		t.Asked = true
		if t.Always || t.Signed && m.fields.Signed || t.Aside && m.cfg.Scan.PutsAside() {
			m.keep = 1 << 62
		}
	}
	return m.keep
}

// errCut is the end of a message whose rest was not kept.
var errCut = errors.New("the end of the message was not kept")

// reader returns the message as it came, with errCut where its end is missing:
// nobody may take a part of it for the whole.
func (m *message) reader() io.Reader {
	if m.buf.Size() < m.size {
		return io.MultiReader(m.buf.Reader(), failing{})
	}
	return m.buf.Reader()
}

// failing is a reader of nothing.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errCut }

// leaving returns the message as it leaves: without the fields in gone, before
// anything is added.
func (m *message) leaving(gone ...[]fieldRef) (io.Reader, error) {
	head, err := m.buf.Head(m.headerEnd)
	if err != nil {
		return nil, err
	}
	drop := map[int64]int64{}
	for _, refs := range gone {
		for _, r := range refs {
			drop[r.Start] = r.End
		}
	}
	var kept []byte
	at := int64(0)
	for pos := int64(0); pos < m.headerEnd; {
		end, ok := drop[pos]
		if !ok {
			pos = nextField(head, pos)
			continue
		}
		kept = append(kept, head[at:pos]...)
		at, pos = end, end
	}
	kept = append(kept, head[at:]...)
	return io.MultiReader(bytes.NewReader(kept), io.NewSectionReader(m.buf, m.headerEnd, m.buf.Size()-m.headerEnd)), nil
}

// nextField returns where the line behind pos begins.
func nextField(head []byte, pos int64) int64 {
	n := bytes.IndexByte(head[pos:], '\n')
	if n < 0 {
		return int64(len(head))
	}
	return pos + int64(n) + 1
}

// nullSender reports whether the reverse-path is null. One that cannot be read
// is not.
func (m *message) nullSender() bool { return m.mailFrom == "<>" || m.mailFrom == "" }

// sender returns the reverse-path. What RFC 5321 does not allow, Postfix lets
// in, long local parts above all: that is still of the domain behind the last
// "@", and of none where that is no domain.
func (m *message) sender() mailaddr.Address {
	a, err := mailaddr.ParsePath(m.mailFrom)
	if err == nil || m.nullSender() {
		return a
	}
	path := strings.TrimSuffix(strings.TrimPrefix(m.mailFrom, "<"), ">")
	if at := strings.LastIndexByte(path, '@'); at > 0 {
		if domain, err := mailaddr.ParseDomain(path[at+1:]); err == nil {
			return mailaddr.Address{LocalPart: path[:at], Domain: domain}
		}
	}
	return mailaddr.Address{LocalPart: path}
}

// recipients returns those that can be read.
func (m *message) recipients() []mailaddr.Address {
	as := make([]mailaddr.Address, 0, len(m.rcptTo))
	for _, r := range m.rcptTo {
		if a, err := mailaddr.ParsePath(r.Path); err == nil {
			as = append(as, a)
		}
	}
	return as
}

// trouble returns what the message did wrong, or what went wrong here, while it
// came in.
func (m *message) trouble() (refusal reply.Reply, fault error) {
	switch {
	case m.bigHeader:
		return replyBigHeader, nil
	case m.fields.TooMany:
		return replyForged, nil
	}
	return reply.Reply{}, m.spoolErr
}

// close frees the spool.
func (m *message) close() { _ = m.buf.Close() } // an unlinked file: nothing is lost
