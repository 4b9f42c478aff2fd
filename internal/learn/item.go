package learn

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/learn/trace"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Trace names a message that came through the Postfix here.
type Trace = trace.Trace

// TraceConfig says which fields of a stored message are our own.
type TraceConfig = trace.Config

// maxFeatures bounds the features of one message in bytes.
const maxFeatures = 256 << 10

// Item is a message to learn: all that is needed of it, and none of its text.
type Item struct {
	Trace Trace `json:"trace,omitzero"`
	// Features are those of the file, cut back to what the milter saw. Where
	// those that the milter kept are found by Trace, they count instead.
	Features []byte `json:"features"`
	// Campaign is a number that mailings of one kind have in common: the domain
	// of the author, and the words of the subject without digits. 0 is none.
	Campaign int64 `json:"campaign,omitempty"`
	// File is a number of the Maildir file that a user moved, by its base name: a
	// move is one, whichever host saw it. 0 is none.
	File uint64 `json:"file,omitempty"`
}

// ErrFeatures means that the features of an item are none.
var ErrFeatures = errors.New("features of the message can not be read")

// Extract makes an Item of a stored message, which may be a file of a Maildir.
// F is scratch, or nil.
func Extract(file []byte, cfg TraceConfig, f *classify.Features) (Item, error) {
	if f == nil {
		f = new(classify.Features)
	}
	msg, t := trace.Cut(file, cfg)
	raw := rawmsg.Scan(msg, rawmsg.Default())
	text := message.Decode(raw)
	f.Extract(raw, text)
	b, err := f.AppendBinary(nil)
	return Item{Trace: t, Features: b, Campaign: campaign(text)}, err
}

// campaign returns the number of a mailing, 0 where the subject says too little.
func campaign(m *message.Message) int64 {
	words := strings.FieldsFunc(strings.ToLower(m.Subject), func(r rune) bool { return !unicode.IsLetter(r) })
	if len(words) < 3 || len(m.From) == 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(strings.ToLower(m.From[0].Addr.Domain) + "\n" + strings.Join(words, " ")))
	return int64(binary.BigEndian.Uint64(sum[:8])) | 1
}

// keyBytes is the length of a message's key.
const keyBytes = 16

// key returns the key of a message, by its content.
func key(features []byte, messageID string) []byte {
	h := sha256.New()
	h.Write(features)
	h.Write([]byte{0})
	h.Write([]byte(messageID))
	return h.Sum(nil)[:keyBytes]
}

// check returns an error if it is none of an honest caller.
func (it *Item) check() error {
	if len(it.Features) == 0 || len(it.Features) > maxFeatures {
		return ErrFeatures
	}
	var f classify.Features
	if err := f.UnmarshalBinary(it.Features); err != nil {
		return errors.Join(ErrFeatures, err)
	}
	again, err := f.AppendBinary(make([]byte, 0, len(it.Features)))
	if err != nil || !bytes.Equal(again, it.Features) {
		return ErrFeatures // two spellings would be two messages
	}
	it.Trace.MessageID = trace.Canonical(it.Trace.MessageID)
	it.Trace.QueueID = it.Trace.QueueID[:min(len(it.Trace.QueueID), maxQueue)]
	if !inTime(it.Trace.Arrived) {
		it.Trace.Arrived = time.Time{}
	}
	return nil
}

// near is how far the arrival that the milter noted may lie from the one in
// Postfix's Received line.
const near = time.Hour
