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
	from := len(dst)
	if l.cr && len(src) > 0 {
		l.cr = false
		if src[0] != '\n' {
			dst = append(dst, '\r')
		}
	}
	for {
		i := bytes.IndexByte(src, '\r')
		if i < 0 {
			dst = append(dst, src...)
			break
		}
		if i+1 == len(src) {
			dst = append(dst, src[:i]...)
			l.cr = true
			break
		}
		if src[i+1] != '\n' {
			i++ // a CR alone stays
			dst = append(dst, src[:i]...)
			src = src[i:]
			continue
		}
		dst = append(dst, src[:i]...)
		src = src[i+1:]
	}
	l.count(dst[from:])
	return dst
}

// end appends the CR that was kept back.
func (l *lines) end(dst []byte) []byte {
	if l.cr {
		l.cr = false
		dst = append(dst, '\r')
		l.count(dst[len(dst)-1:])
	}
	return dst
}

// count takes note of what goes to the disk.
func (l *lines) count(p []byte) {
	if len(p) == 0 {
		return
	}
	l.lone += int64(bytes.Count(p, []byte{'\n'}) - bytes.Count(p, []byte("\r\n")))
	if p[0] == '\n' && l.last == '\r' {
		l.lone--
	}
	l.size += int64(len(p))
	l.last = p[len(p)-1]
}
