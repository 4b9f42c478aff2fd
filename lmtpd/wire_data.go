package lmtpd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

var errTooLarge = errors.New("message is larger than the limit")

// dataEnd is the last line of a message (RFC 5321 §4.1.1.4).
const dataEnd = ".\r\n"

// copyData copies the content of DATA from r to w, with the dots that stand for
// transparency removed (RFC 5321 §4.5.2). Only <CRLF>.<CRLF> ends it; a bare CR
// or LF is content. It reads up to that end whatever becomes of w, so that what
// follows is a command again. The buffer of r holds at least 16 bytes.
//
// A readErr means that the end did not come. A writeErr is the first error of
// w, or errTooLarge for more than limit bytes.
func copyData(w io.Writer, r *bufio.Reader, limit int64) (n int64, readErr, writeErr error) {
	begin := true // of a line, after CRLF
	for {
		p, err := piece(r, begin)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err, writeErr
		}
		if begin && p[0] == '.' {
			if string(p) == dataEnd {
				_, err := r.Discard(len(p)) // which it holds
				return n, err, writeErr
			}
			begin, p = false, p[:1]
		} else {
			begin, p = cutLine(p)
			n += int64(len(p))
			if writeErr == nil && n > limit {
				writeErr = errTooLarge
			}
			if writeErr == nil {
				_, writeErr = w.Write(p)
			}
		}
		if _, err := r.Discard(len(p)); err != nil {
			return n, err, writeErr
		}
	}
}

// piece returns what r holds next, at least a byte. At the beginning of a line
// a dot comes with the two bytes that tell the end of the message from others,
// and with nothing behind them; a CR comes with what follows it.
func piece(r *bufio.Reader, begin bool) ([]byte, error) {
	p, err := r.Peek(1)
	if err != nil {
		return nil, err
	}
	switch {
	case begin && p[0] == '.':
		return r.Peek(len(dataEnd))
	case p[0] == '\r' && r.Buffered() == 1:
		return r.Peek(2)
	}
	return r.Peek(r.Buffered())
}

// cutLine returns the part of p up to the last line end that it need not look
// behind, and whether a line begins there. P does not begin with a dot that
// counts. It looks for dots, which are rarer than line ends: base64 has none.
func cutLine(p []byte) (begin bool, _ []byte) {
	for from := 0; ; {
		i := bytes.IndexByte(p[from:], '.')
		if i < 0 {
			break
		}
		dot := from + i
		if bytes.HasSuffix(p[:dot], []byte("\r\n")) {
			return true, p[:dot]
		}
		from = dot + 1
	}
	if bytes.HasSuffix(p, []byte("\r\n")) {
		return true, p
	}
	if last := len(p) - 1; last > 0 && p[last] == '\r' {
		return false, p[:last]
	}
	return false, p
}
