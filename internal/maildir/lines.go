package maildir

import "bytes"

// lines makes LF of each CRLF and counts what goes to the disk. The zero value
// is ready.
type lines struct {
	size int64 // bytes on disk: S
	lone int64 // LFs on disk without a CR before them
	last byte  // the last byte on disk
	cr   bool  // a CR came last and may belong to a CRLF
}

// wire returns W: the size when each lone LF is sent as CRLF.
func (l *lines) wire() int64 { return l.size + l.lone }

// append appends the disk form of src to dst. A CR at the end of src is kept
// back until the next call, or end.
func (l *lines) append(dst, src []byte) []byte {
	if l.cr && len(src) > 0 {
		l.cr = false
		if src[0] != '\n' {
			dst = l.put(dst, []byte{'\r'})
		}
	}
	for len(src) > 0 {
		i := bytes.IndexByte(src, '\r')
		if i < 0 {
			return l.put(dst, src)
		}
		dst, src = l.put(dst, src[:i]), src[i+1:]
		switch {
		case len(src) == 0:
			l.cr = true
		case src[0] != '\n':
			dst = l.put(dst, []byte{'\r'})
		}
	}
	return dst
}

// end appends the CR that was kept back.
func (l *lines) end(dst []byte) []byte {
	if l.cr {
		l.cr = false
		dst = l.put(dst, []byte{'\r'})
	}
	return dst
}

// put appends p, which holds no CR unless it is a CR alone.
func (l *lines) put(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	l.lone += int64(bytes.Count(p, []byte{'\n'}))
	if p[0] == '\n' && l.last == '\r' {
		l.lone--
	}
	l.size += int64(len(p))
	l.last = p[len(p)-1]
	return append(dst, p...)
}
