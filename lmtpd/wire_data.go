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
// follows is a command again.
//
// A readErr means that the end did not come. A writeErr is the first error of
// w, or errTooLarge for more than limit bytes.
func copyData(w io.Writer, r *bufio.Reader, limit int64) (n int64, readErr, writeErr error) {
	begin := true // of a line, after CRLF
	cr := false   // the last byte was a CR
	for {
		p, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err, writeErr
		}
		if begin && string(p) == dataEnd {
			return n, nil, writeErr
		}
		begin, cr, p = nextLine(p, begin, cr)
		n += int64(len(p))
		if writeErr == nil && n > limit {
			writeErr = errTooLarge
		}
		if writeErr == nil {
			_, writeErr = w.Write(p)
		}
	}
}

// nextLine removes the dot from p, a line or a piece of one, and tells whether
// a line begins behind it. ReadSlice never gives an empty piece.
func nextLine(p []byte, begin, cr bool) (_, lastCR bool, _ []byte) {
	end := bytes.HasSuffix(p, []byte("\r\n")) || cr && string(p) == "\n"
	lastCR = p[len(p)-1] == '\r'
	if begin && p[0] == '.' {
		p = p[1:]
	}
	return end, lastCR, p
}
