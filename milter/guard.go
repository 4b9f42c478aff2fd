package milter

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"
)

var (
	// errOrder is a command that cannot come at this point of a session.
	errOrder = errors.New("command out of order")
	// errPanic is a fault of the guard itself.
	errPanic = errors.New("panic in the guard")
)

// libraryField is what the library sees of each header field. It keeps them all
// until the message ends, and a megabyte of short ones would cost fifteen.
var libraryField = []byte("X\x00\x00")

// event is the command that the library is about to handle, as it came. Its
// slices are good until the library reads on.
type event struct {
	Cmd     command
	Connect connectInfo
	// Strings are HELO's name, or the path and parameters of MAIL and RCPT.
	Strings []string
	// Name and Value are HEADER's.
	Name, Value []byte
	// Data is BODY's, or what Sendmail sends with the end of message.
	Data []byte
}

// guard is the connection that the library reads and writes instead of the
// MTA's. Only whole packets of the right shape and order pass; what the library
// cannot do is done here. Read and Write run in the library's goroutine, and so
// do the callbacks of the session: no field needs a lock.
type guard struct {
	net.Conn
	frameTimeout time.Duration

	in  *bufio.Reader
	src *timedReader
	buf []byte // data of the last packet

	first      [5]byte // the beginning of the packet for the library
	head, tail []byte  // what the library has not read of it yet
	held       event   // follows an ABORT that the guard put in front
	holds      bool

	// answersConnect says that CONNECT has an answer: a client may be banned.
	answersConnect bool
	agreed         options
	negotiated     bool
	connected      bool
	phase          int  // rank of the last command of the message, 0 between messages
	dirty          bool // the library knows of a message that no ABORT ended
	// full says that the message's header is past its limit: the library gets
	// no more of it.
	full bool

	macros macros
	cur    event

	fromLibrary []byte // a packet that is not whole yet
	edits       []byte // changes that wait for the final answer

	err  error         // why the session ends; io.EOF for a normal end
	done chan struct{} // closed by Close
}

// timedReader sets a deadline before each read that may wait: a long one
// between packets (a client may take hours to send its message), a short one
// for the rest of a packet that has begun.
type timedReader struct {
	conn        net.Conn
	idle, frame time.Duration
	within      bool
	until       time.Time
}

func (r *timedReader) Read(p []byte) (int, error) {
	now := time.Now()
	until := now.Add(r.idle)
	if r.within {
		if r.until.IsZero() {
			r.until = now.Add(r.frame)
		}
		until = r.until
	}
	if err := r.conn.SetReadDeadline(until); err != nil {
		return 0, fmt.Errorf("set deadline: %w", err)
	}
	return r.conn.Read(p)
}

// buffers are what a guard reads into. One connection hands them on to the next:
// Postfix opens one for each SMTP session.
type buffers struct {
	in  *bufio.Reader
	buf []byte
}

// maxKept bounds the packet buffer that is handed on.
const maxKept = 64 << 10

// newBuffers returns buffers for one connection.
func newBuffers() *buffers { return &buffers{in: bufio.NewReaderSize(nil, 16<<10)} }

// newGuard returns a guard of conn, which has b until release.
func newGuard(conn net.Conn, b *buffers, idle, frame time.Duration) *guard {
	src := &timedReader{conn: conn, idle: idle, frame: frame}
	b.in.Reset(src)
	return &guard{
		Conn: conn, frameTimeout: frame,
		in: b.in, buf: b.buf, src: src,
		done: make(chan struct{}),
	}
}

// release gives the buffers back. Nothing of the connection may be read or
// looked at any more.
func (g *guard) release(b *buffers) {
	b.in.Reset(nil)
	if b.buf = g.buf; cap(b.buf) > maxKept {
		b.buf = nil
	}
	g.in, g.buf, g.cur = nil, nil, event{}
}

// Read gives the library the bytes of the next packet that concerns it. It ends
// with io.EOF whatever happened, because the library prints other errors; the
// cause is kept.
func (g *guard) Read(p []byte) (n int, err error) {
	defer g.recover(&n, &err)
	if len(g.head)+len(g.tail) == 0 {
		if g.err == nil {
			g.err = g.next()
		}
		if g.err != nil {
			return 0, io.EOF
		}
	}
	if len(g.head) > 0 {
		n = copy(p, g.head)
		g.head = g.head[n:]
		return n, nil
	}
	n = copy(p, g.tail)
	g.tail = g.tail[n:]
	return n, nil
}

// recover ends the session after a panic of the guard itself.
func (g *guard) recover(n *int, err *error) {
	if v := recover(); v != nil {
		g.err = fmt.Errorf("%w: %v\n%s", errPanic, v, debug.Stack())
		*n, *err = 0, io.EOF
	}
}

// next fills head and tail.
func (g *guard) next() error {
	if g.holds {
		g.holds = false
		g.hand(g.held)
		return nil
	}
	for {
		f, err := g.readFrame()
		if err != nil {
			return err
		}
		pass, err := g.take(f)
		if err != nil {
			return err
		}
		if pass {
			return nil
		}
	}
}

func (g *guard) readFrame() (frame, error) {
	// A peer that connects and says nothing gets the short time too.
	g.src.within, g.src.until = !g.negotiated, time.Time{}
	if _, err := g.in.Peek(1); err != nil {
		return frame{}, err
	}
	g.src.within = true
	f, buf, err := readFrame(g.in, g.buf)
	g.buf = buf
	return f, err
}

// take checks one packet and reports whether the library gets it.
func (g *guard) take(f frame) (bool, error) {
	if err := g.order(f.Cmd); err != nil {
		return false, err
	}
	e := event{Cmd: f.Cmd, Data: f.Data}
	var err error
	switch f.Cmd {
	case cmdOptNeg:
		return g.offer(f)
	case cmdMacro:
		if err := checkMacros(f.Data); err != nil {
			return false, err
		}
		g.macros.put(f.Data)
		return false, nil
	case cmdUnknown:
		if _, err := parseStrings(f.Data); err != nil {
			return false, err
		}
		return false, g.send(appendFrame(nil, byte(respContinue)))
	case cmdAbort:
		g.macros.reset(stageMail)
		g.macros.waits = false
		return g.abort(), nil
	case cmdQuitNC:
		g.macros.reset(stageConnect)
		g.connected = false
		return g.abort(), nil
	case cmdConnect:
		e.Connect, err = parseConnect(f.Data)
	case cmdHelo, cmdMail, cmdRcpt:
		e.Strings, err = parseStrings(f.Data)
	case cmdHeader:
		e.Name, e.Value, err = parseHeader(f.Data)
		e.Data = libraryField
	}
	if err != nil {
		return false, err
	}
	if f.Cmd == cmdHeader && g.full {
		if g.agreed.silent(cmdHeader) {
			return false, nil
		}
		return false, g.send(appendFrame(nil, byte(respContinue)))
	}
	// Whoever starts anew ends the message before, also when the MTA did not
	// say so: the library would show its headers with those of the next.
	if rank(f.Cmd) <= rank(cmdMail) && f.Cmd != cmdQuit && g.abort() {
		g.held, g.holds = e, true
		return true, nil
	}
	g.hand(e)
	return true, nil
}

// abort hands the library an ABORT unless it has no message to forget, and
// reports whether it did.
func (g *guard) abort() bool {
	g.phase, g.full = 0, false
	if !g.dirty {
		return false
	}
	g.dirty = false
	g.cur = event{Cmd: cmdAbort}
	g.packet(cmdAbort, nil)
	return true
}

// hand makes e the library's next packet.
func (g *guard) hand(e event) {
	g.macros.begin(e.Cmd)
	if r := rank(e.Cmd); r > 0 {
		g.phase, g.dirty = r, true
	}
	g.cur = e
	switch e.Cmd {
	case cmdConnect:
		g.connected = true
	case cmdEOM:
		g.phase = 0
	case cmdBody:
		// The session reads it from here: the library would copy it twice.
		e.Data = nil
	}
	g.packet(e.Cmd, e.Data)
}

// packet makes a packet the library's next bytes. Its data is not copied.
func (g *guard) packet(c command, data []byte) {
	g.first = [5]byte{4: byte(c)}
	binary.BigEndian.PutUint32(g.first[:], uint32(1+len(data)))
	g.head, g.tail = g.first[:], data
}

// rank orders the commands of one message; 0 is none of them.
func rank(c command) int {
	switch c {
	case cmdMail:
		return 1
	case cmdRcpt:
		return 2
	case cmdData:
		return 3
	case cmdHeader:
		return 4
	case cmdEOH:
		return 5
	case cmdBody:
		return 6
	case cmdEOM:
		return 7
	}
	return 0
}

// order refuses a command before the negotiation or a second negotiation, one
// of a message without MAIL, and one that goes back in the message.
func (g *guard) order(c command) error {
	r := rank(c)
	ok := true
	switch {
	case c == cmdQuit:
	case c == cmdOptNeg:
		ok = !g.negotiated
	case !g.negotiated:
		ok = false
	case c == cmdHelo, c == cmdMail:
		ok = g.connected
	case c == cmdRcpt, c == cmdHeader, c == cmdBody:
		ok = g.phase > 0 && r >= g.phase
	case r > 0:
		ok = g.phase > 0 && r > g.phase
	}
	if !ok {
		return fmt.Errorf("%w: %q", errOrder, byte(c))
	}
	return nil
}

// offer takes the MTA's negotiation packet.
func (g *guard) offer(f frame) (bool, error) {
	o, err := parseOptions(f.Data)
	if err != nil {
		return false, err
	}
	g.agreed, g.negotiated = negotiate(o), true
	if g.answersConnect {
		g.agreed.Protocol &^= noReplyConnect
	}
	g.hand(event{Cmd: cmdOptNeg, Data: f.Data})
	return true, nil
}

// Write takes the library's packets. Changes of the message wait for the final
// answer and go out with it in one write; after a refusal they are dropped. An
// error is kept and ends the session at the next Read: the library prints it.
func (g *guard) Write(p []byte) (n int, err error) {
	defer g.recover(&n, &err)
	g.fromLibrary = append(g.fromLibrary, p...)
	for g.err == nil {
		if len(g.fromLibrary) < 5 {
			return len(p), nil
		}
		size := 4 + int(binary.BigEndian.Uint32(g.fromLibrary))
		if len(g.fromLibrary) < size {
			return len(p), nil
		}
		g.answer(g.fromLibrary[:size])
		g.fromLibrary = append(g.fromLibrary[:0], g.fromLibrary[size:]...)
	}
	return len(p), nil
}

// answer takes one whole packet of the library.
func (g *guard) answer(packet []byte) {
	switch r := response(packet[4]); {
	case r.edits():
		g.edits = append(g.edits, packet...)
		return
	case r == respOptNeg:
		g.err = g.send(appendFrame(nil, byte(respOptNeg), g.agreed.append(nil)))
		return
	case r != respAccept && r != respContinue:
		g.edits = g.edits[:0]
	}
	if len(g.edits) == 0 {
		g.err = g.send(packet)
		return
	}
	g.edits = append(g.edits, packet...)
	g.err = g.send(g.edits)
	g.edits = g.edits[:0]
}

// edit keeps one change of the message for the final answer. The library's
// Modifier would do the same with a buffer of its own for each.
func (g *guard) edit(op response, data ...[]byte) { g.edits = appendFrame(g.edits, byte(op), data...) }

// send writes b in one write.
func (g *guard) send(b []byte) error {
	if err := g.SetWriteDeadline(time.Now().Add(g.frameTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := g.Conn.Write(b); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// Close ends the connection. The library calls it, once, as the last thing that
// its goroutine does.
func (g *guard) Close() error {
	err := g.Conn.Close()
	close(g.done)
	return err
}
