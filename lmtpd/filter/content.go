package filter

import (
	"bytes"
	"errors"
	"slices"

	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/sieve"
)

// freeBytes is what the copies and mails of one plan may hold beside three times
// the message: as much as any script wants of a small one.
const freeBytes = 8 << 20

var errMemory = errors.New("the script makes too many different copies of a large message")

// held are the bytes that a plan holds until it is carried out: each edit of the
// message once.
type held struct {
	left   int
	edited map[*sieve.Message][]byte
	mails  [][]byte
}

func newHeld(size int) held {
	return held{left: freeBytes + 3*size, edited: map[*sieve.Message][]byte{}}
}

// take makes room for so many bytes.
func (h *held) take(size int) error {
	if size > h.left {
		return errMemory
	}
	h.left -= size
	return nil
}

// content returns the bytes of an edited message.
func (h *held) content(m *sieve.Message) ([]byte, error) {
	if b, ok := h.edited[m]; ok {
		return b, nil
	}
	if err := h.take(m.Size()); err != nil {
		return nil, err
	}
	h.edited[m] = m.Bytes()
	return h.edited[m], nil
}

// mail returns what is held already where it is the same as raw, else raw.
func (h *held) mail(raw []byte) ([]byte, error) {
	if i := slices.IndexFunc(h.mails, func(b []byte) bool { return bytes.Equal(b, raw) }); i >= 0 {
		return h.mails[i], nil
	}
	if err := h.take(len(raw)); err != nil {
		return nil, err
	}
	h.mails = append(h.mails, raw)
	return raw, nil
}

// without returns raw without the fields that this delivery put on top: they
// are about a mailbox that the message leaves. A script may have deleted some,
// and added others between them.
func without(raw, top []byte) []byte {
	end := bytes.Index(raw, []byte("\r\n\r\n")) + 2
	if end < 2 {
		end = len(raw)
	}
	head := bytes.Clone(raw[:end])
	for _, f := range rawmsg.Scan(top, rawmsg.Default()).Fields {
		for at := 0; ; {
			i := bytes.Index(head[at:], f.Raw)
			if i < 0 {
				break
			}
			if at += i; at == 0 || head[at-1] == '\n' {
				head = slices.Delete(head, at, at+len(f.Raw))
				break
			}
			at++
		}
	}
	return slices.Concat(head, raw[end:])
}
