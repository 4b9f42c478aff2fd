package milter

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/scan"
)

// packet is one packet as it stands on the wire, for a test to read: its code
// and its data.
type packet struct {
	Code byte
	Data string
}

func (p packet) String() string { return fmt.Sprintf("%c%q", p.Code, p.Data) }

// mta is a byte-level milter client: it sends what a test says, right or wrong.
// It shares no code with the daemon, so that it cannot share its mistakes.
type mta struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader

	version, actions, protocol uint32
	macros                     string // the macro list, raw
}

// postfixOffer is what Postfix 3.7 offers.
var postfixOffer = [3]uint32{6, 0x1ff, 0x1fffff}

// newMTA returns a client on conn that has not negotiated.
func newMTA(t testing.TB, conn net.Conn) *mta {
	return &mta{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// raw sends bytes.
func (m *mta) raw(b string) {
	m.t.Helper()
	if _, err := io.WriteString(m.conn, b); err != nil {
		m.t.Fatalf("write to the milter: %v", err)
	}
}

// send sends one packet whose data are the strings one after the other.
func (m *mta) send(code byte, data ...string) {
	m.t.Helper()
	m.raw(pack(code, data...))
}

// pack returns one packet.
func pack(code byte, data ...string) string {
	d := strings.Join(data, "")
	return string(binary.BigEndian.AppendUint32(nil, uint32(1+len(d)))) + string(code) + d
}

// z returns the strings, each ended by NUL.
func z(ss ...string) string {
	var b strings.Builder
	for _, s := range ss {
		b.WriteString(s + "\x00")
	}
	return b.String()
}

// recv reads one packet.
func (m *mta) recv() packet {
	m.t.Helper()
	p, err := readPacket(m.in)
	if err != nil {
		m.t.Fatalf("read from the milter: %v", err)
	}
	return p
}

func readPacket(r io.Reader) (packet, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return packet{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > 1<<24 {
		return packet{}, fmt.Errorf("packet of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return packet{}, err
	}
	return packet{b[0], string(b[1:])}, nil
}

// want reads one packet and compares it.
func (m *mta) want(code byte, data string) {
	m.t.Helper()
	if got := m.recv(); got != (packet{code, data}) {
		m.t.Fatalf("the milter answered %v, want %v", got, packet{code, data})
	}
}

// wantClosed waits for the milter to close the connection without a word.
func (m *mta) wantClosed() {
	m.t.Helper()
	p, err := readPacket(m.in)
	if err == nil {
		m.t.Fatalf("the milter answered %v, want a closed connection", p)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) && !strings.Contains(err.Error(), "reset") {
		m.t.Fatalf("read from the milter: %v", err)
	}
}

// negotiate makes an offer and keeps the answer.
func (m *mta) negotiate(offer [3]uint32) {
	m.t.Helper()
	var b []byte
	for _, w := range offer {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	m.send('O', string(b))
	p := m.recv()
	if p.Code != 'O' || len(p.Data) < 12 {
		m.t.Fatalf("negotiation answered with %v", p)
	}
	d := []byte(p.Data)
	m.version, m.actions, m.protocol = binary.BigEndian.Uint32(d), binary.BigEndian.Uint32(d[4:]), binary.BigEndian.Uint32(d[8:])
	m.macros = p.Data[12:]
}

// event sends a command of the dialogue with its macros (name, value, ...) and
// reads the answer unless the negotiation took it away; it has to be continue.
func (m *mta) event(code byte, data string, macros ...string) {
	m.t.Helper()
	m.send('D', string(code), z(macros...))
	m.send(code, data)
	if m.answers(code) {
		m.want('c', "")
	}
}

// answers reports whether the milter has to answer the command.
func (m *mta) answers(code byte) bool {
	bit := map[byte]uint32{'L': 0x80, 'C': 0x1000, 'H': 0x2000, 'M': 0x4000, 'R': 0x8000, 'T': 0x10000,
		'U': 0x20000, 'N': 0x40000, 'B': 0x80000}[code]
	return m.protocol&bit == 0
}

// eom sends the end of message and reads the changes and the final answer.
func (m *mta) eom(data ...string) (changes []packet, final packet) {
	m.t.Helper()
	m.send('D', "E", z("i", "4ABCDEF123"))
	m.send('E', data...)
	for {
		p := m.recv()
		if strings.IndexByte("himb+-2eqp", p.Code) < 0 {
			return changes, p
		}
		changes = append(changes, p)
	}
}

// hello negotiates as Postfix does and begins a session.
func (m *mta) hello() *mta {
	m.t.Helper()
	m.negotiate(postfixOffer)
	m.connectFrom("192.0.2.7")
	return m
}

func (m *mta) connectFrom(addr string) {
	m.t.Helper()
	m.event('C', z("["+addr+"]")+"4\xc9P"+z(addr), "j", "mx.example.org", "{client_addr}", addr,
		"{client_name}", "unknown", "{client_resolve}", "FAIL")
	m.event('H', z("client.example.net"))
}

// mail is one message for transfer. Header values are as after the colon.
type mail struct {
	From   string
	User   string
	Rcpt   []string
	Header []string // "Name: value"
	Body   string
}

// plain is a message that nobody objects to.
func plain() mail {
	return mail{
		From: "<sender@example.net>", Rcpt: []string{"<alice@example.org>"},
		Header: []string{
			"From: Sender <sender@example.net>", "To: alice@example.org", "Subject: hello",
			"Date: Fri, 20 Nov 2026 06:52:00 +0000", "Message-ID: <1@example.net>",
		},
		Body: "Hello Alice\r\n",
	}
}

// envelope sends MAIL to DATA.
func (m *mta) envelope(msg mail) {
	m.t.Helper()
	macros := []string{"{mail_addr}", strings.Trim(msg.From, "<>")}
	if msg.User != "" {
		macros = append(macros, "{auth_type}", "PLAIN", "{auth_authen}", msg.User)
	}
	m.event('M', z(msg.From, "SIZE=100"), macros...)
	for _, r := range msg.Rcpt {
		m.event('R', z(r), "{rcpt_addr}", strings.Trim(r, "<>"))
	}
	m.event('T', "", "i", "4ABCDEF123")
}

// content sends the header and the body.
func (m *mta) content(msg mail) {
	m.t.Helper()
	for _, h := range msg.Header {
		name, value, _ := strings.Cut(h, ":")
		if m.protocol&0x100000 == 0 {
			value = strings.TrimPrefix(value, " ")
		}
		m.event('L', z(name, value), "i", "4ABCDEF123")
	}
	m.event('N', "", "i", "4ABCDEF123")
	for b := msg.Body; b != ""; {
		n := min(len(b), 65535)
		m.event('B', b[:n], "i", "4ABCDEF123")
		b = b[n:]
	}
}

// transfer sends a whole message and returns the answer.
func (m *mta) transfer(msg mail) (changes []packet, final packet) {
	m.t.Helper()
	m.envelope(msg)
	m.content(msg)
	return m.eom()
}

// inStep asks for one more answer, which shows that none was left over.
func (m *mta) inStep() {
	m.t.Helper()
	m.send('U', z("FOO"))
	if m.answers('U') {
		m.want('c', "")
	}
}

// quit ends the session as Postfix does.
func (m *mta) quit() {
	m.t.Helper()
	m.send('A')
	m.send('A')
	m.send('Q')
	m.wantClosed()
	if err := m.conn.Close(); err != nil {
		m.t.Error(err)
	}
}

// pipes is a listener of in-memory connections, for tests that have their own
// time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "pipe"} }

// dial connects; the connection is closed with the test.
func (p *pipes) dial(t testing.TB) *mta {
	t.Helper()
	client, server := net.Pipe()
	select {
	case p.conns <- server:
	case <-p.done:
		t.Fatal("the listener is closed")
	}
	t.Cleanup(func() { _ = client.Close() })
	return newMTA(t, client)
}

// quiet is a logger for tests that look at no line.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs a Server for the length of the test.
func serve(t testing.TB, cfg Config, deps Deps, log *slog.Logger, d scan.Direction) *pipes {
	t.Helper()
	s, err := New(cfg, deps, log)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, s, d)
}

func serveOn(t testing.TB, s *Server, d scan.Direction) *pipes {
	t.Helper()
	ln := newPipes()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln, d) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve = %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve does not end")
		}
	})
	return ln
}

// testConfig is Default with a short grace.
func testConfig() Config {
	c := Default()
	c.AuthservID = "mx.example.org"
	c.Grace = 0
	return c
}
