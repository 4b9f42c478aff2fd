package managesieve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The commands (RFC 5804 §2).
const (
	cmdAuthenticate   = "AUTHENTICATE"
	cmdStartTLS       = "STARTTLS"
	cmdLogout         = "LOGOUT"
	cmdCapability     = "CAPABILITY"
	cmdHaveSpace      = "HAVESPACE"
	cmdPutScript      = "PUTSCRIPT"
	cmdListScripts    = "LISTSCRIPTS"
	cmdSetActive      = "SETACTIVE"
	cmdGetScript      = "GETSCRIPT"
	cmdDeleteScript   = "DELETESCRIPT"
	cmdRenameScript   = "RENAMESCRIPT"
	cmdCheckScript    = "CHECKSCRIPT"
	cmdNoop           = "NOOP"
	cmdUnauthenticate = "UNAUTHENTICATE"
)

// form is what arguments a command has: s a string, n a number. Those from the
// one at least on may be missing.
type form struct {
	args  string
	least int
}

var forms = map[string]form{
	cmdAuthenticate: {"ss", 1}, cmdStartTLS: {}, cmdLogout: {}, cmdCapability: {},
	cmdHaveSpace: {"sn", 2}, cmdPutScript: {"ss", 2}, cmdListScripts: {}, cmdSetActive: {"s", 1},
	cmdGetScript: {"s", 1}, cmdDeleteScript: {"s", 1}, cmdRenameScript: {"ss", 2}, cmdCheckScript: {"s", 1},
	cmdNoop: {"s", 0}, cmdUnauthenticate: {},
}

const (
	maxArgs = 3 // one more than any command has
	maxWord = 32
	// maxNumber is that of RFC 5804 §4.
	maxNumber = 1<<32 - 1
)

// arg is an argument: a string, or a number.
type arg struct {
	text   []byte
	number int64
	kind   byte // 's' or 'n'
}

// command is one command of a client, its name in capitals.
type command struct {
	name string
	args []arg
}

// text returns the i-th argument, "" where it is not there.
func (c command) text(i int) string {
	if i >= len(c.args) {
		return ""
	}
	return string(c.args[i].text)
}

// check returns why c is no command with its arguments.
func (c command) check() error {
	f, ok := forms[c.name]
	if !ok {
		return errors.New("there is no such command")
	}
	var kinds []byte
	for _, a := range c.args {
		kinds = append(kinds, a.kind)
	}
	if len(c.args) < f.least || !strings.HasPrefix(f.args, string(kinds)) {
		return fmt.Errorf("%s has other arguments", c.name)
	}
	return nil
}

// syntaxError is a line that is no command, and was read to its end.
type syntaxError struct{ text string }

func (e *syntaxError) Error() string { return e.text }

// Errors after which the next byte of a client means nothing.
var (
	errTooLong = errors.New("command is too long")
	errBroken  = errors.New("not ManageSieve")
)

// tooLarge is a literal that was not read.
type tooLarge struct{ size int64 }

func (e *tooLarge) Error() string { return fmt.Sprintf("literal of %d bytes is too large", e.size) }

// decoder reads commands.
type decoder struct {
	in *bufio.Reader
	// left is what the command may still have of bytes.
	left int64
}

// read reads one command of at most most bytes. A *syntaxError or *tooLarge can
// be answered: the latter is for a last argument that is a literal, of which no
// byte was read. Other errors end the connection.
func (d *decoder) read(most int64) (c command, err error) {
	d.left = most
	if c.name, err = d.word(); err != nil {
		return c, err
	}
	for {
		b, err := d.next()
		if err != nil {
			return c, err
		}
		switch b {
		case '\r':
			return c, d.lineFeed()
		case ' ':
		default:
			d.back()
			return c, d.skip("a blank belongs before each argument")
		}
		if len(c.args) == maxArgs {
			return c, d.skip("too many arguments")
		}
		a, err := d.arg()
		if err != nil {
			return c, err
		}
		c.args = append(c.args, a)
	}
}

// readString reads a line that is one string: what a client answers to a SASL
// challenge.
func (d *decoder) readString(most int64) ([]byte, error) {
	d.left = most
	a, err := d.arg()
	if err != nil {
		return nil, err
	}
	if a.kind != 's' {
		return nil, d.skip("a string belongs here")
	}
	b, err := d.next()
	if err == nil && b != '\r' {
		return nil, d.skip("a string alone belongs here")
	}
	if err == nil {
		err = d.lineFeed()
	}
	return a.text, err
}

func (d *decoder) next() (byte, error) {
	if d.left <= 0 {
		return 0, errTooLong
	}
	d.left--
	return d.in.ReadByte()
}

func (d *decoder) back() {
	d.left++
	_ = d.in.UnreadByte() // right after ReadByte it cannot fail
}

// lineFeed reads the LF behind a CR.
func (d *decoder) lineFeed() error {
	b, err := d.next()
	if err == nil && b != '\n' {
		return errBroken
	}
	return err
}

// word reads the name of a command.
func (d *decoder) word() (string, error) {
	var w []byte
	for {
		b, err := d.next()
		if err != nil {
			return "", err
		}
		if b|0x20 < 'a' || b|0x20 > 'z' || len(w) == maxWord {
			d.back()
			if len(w) == 0 || len(w) == maxWord {
				return "", d.skip("a command is a word")
			}
			return strings.ToUpper(string(w)), nil
		}
		w = append(w, b)
	}
}

// arg reads an argument.
func (d *decoder) arg() (arg, error) {
	b, err := d.next()
	switch {
	case err != nil:
		return arg{}, err
	case b == '"':
		text, err := d.quoted()
		return arg{text: text, kind: 's'}, err
	case b == '{':
		text, err := d.literal()
		return arg{text: text, kind: 's'}, err
	case b >= '0' && b <= '9':
		d.back()
		n, err := d.digits()
		return arg{number: n, kind: 'n'}, err
	}
	d.back()
	return arg{}, d.skip("an argument is a string or a number")
}

// quoted reads a quoted string behind its first quote. RFC 5804 §4 ends one
// after 1024 bytes; programs send longer SASL messages so.
func (d *decoder) quoted() ([]byte, error) {
	var text []byte
	for {
		b, err := d.next()
		if err != nil {
			return nil, err
		}
		switch b {
		case '"':
			return text, nil
		case '\\':
			if b, err = d.next(); err != nil {
				return nil, err
			}
			if b != '"' && b != '\\' {
				d.back()
				return nil, d.skip("only a quote and a backslash may stand behind a backslash")
			}
		case '\r', '\n', 0:
			d.back()
			return nil, d.skip("a quoted string ends on its line")
		}
		text = append(text, b)
	}
}

// literal reads {n+} or {n}, CRLF and n bytes, behind the brace. A server never
// asks for them: both are sent at once (RFC 5804 §1.2).
func (d *decoder) literal() ([]byte, error) {
	n, err := d.digits()
	if err != nil {
		return nil, err
	}
	b, err := d.next()
	if err == nil && b == '+' {
		b, err = d.next()
	}
	if err == nil && b != '}' {
		err = errBroken
	}
	if err == nil {
		b, err = d.next()
	}
	if err == nil && b != '\r' {
		err = errBroken
	}
	if err == nil {
		err = d.lineFeed()
	}
	if err != nil {
		return nil, err
	}
	if n > d.left {
		return nil, &tooLarge{n}
	}
	d.left -= n
	// The buffer grows with what arrives, not with what was announced.
	var text bytes.Buffer
	if _, err := io.CopyN(&text, d.in, n); err != nil {
		return nil, unexpected(err)
	}
	return text.Bytes(), nil
}

// discard reads a literal that was too large, and the end of its line.
func (d *decoder) discard(n int64) error {
	if _, err := io.CopyN(io.Discard, d.in, n); err != nil {
		return unexpected(err)
	}
	d.left = 2
	b, err := d.next()
	if err == nil && b != '\r' {
		err = errBroken
	}
	if err == nil {
		err = d.lineFeed()
	}
	return err
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// digits reads a number of 32 bits.
func (d *decoder) digits() (n int64, err error) {
	for some := false; ; some = true {
		b, err := d.next()
		if err != nil {
			return 0, err
		}
		if b < '0' || b > '9' {
			d.back()
			if !some {
				return 0, errBroken
			}
			return n, nil
		}
		if n = n*10 + int64(b-'0'); n > maxNumber {
			return 0, errBroken
		}
	}
}

// skip reads the rest of a line and returns a *syntaxError. Where that ends in
// what may be a literal, nobody knows where the next command is.
func (d *decoder) skip(why string) error {
	var last, before byte
	for {
		b, err := d.next()
		switch {
		case err != nil:
			return err
		case b == '\n' && last == '\r' && before != '}':
			return &syntaxError{why}
		case b == '\n':
			return errBroken
		}
		before, last = last, b
	}
}

// appendTo appends c as a client sends it: for tests.
func (c command) appendTo(dst []byte) []byte {
	dst = append(dst, c.name...)
	for _, a := range c.args {
		dst = append(dst, ' ')
		if a.kind == 'n' {
			dst = strconv.AppendInt(dst, a.number, 10)
			continue
		}
		dst = fmt.Appendf(dst, "{%d+}\r\n%s", len(a.text), a.text)
	}
	return append(dst, "\r\n"...)
}
