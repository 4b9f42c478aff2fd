package outgoing

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/srs"
)

// Kind says what a message of ours is.
type Kind string

// The kinds. A Redirect is somebody else's message that goes on.
const (
	Notice   Kind = "notice"
	Vacation Kind = "vacation"
	Report   Kind = "report"
	Redirect Kind = "redirect"
)

// Mail is a message to send.
type Mail struct {
	Kind Kind
	// MailFrom may be the null reverse-path.
	MailFrom mailaddr.Address
	RcptTo   []mailaddr.Address
	// Proved says of a Redirect that its sender is no forgery, so that a failure
	// may be told there.
	Proved bool
	// MessageID is that of Raw, with angle brackets: by it the milter knows what
	// it may sign.
	MessageID string
	// Raw is the message, with LF or CRLF.
	Raw []byte
}

// MaxBytes bounds a message of ours.
const MaxBytes = 64 << 20

const (
	maxEnvelope = 256 << 10
	maxRcpts    = 1000
	suffix      = ".mail"
)

var (
	// ErrFull means that the spool holds all it may.
	ErrFull = errors.New("the spool of outgoing mail is full")
	// ErrInvalid means that the message cannot be sent by anybody.
	ErrInvalid = errors.New("not a message that can be sent")
)

// envelope is the first line of a file.
type envelope struct {
	Kind      Kind          `json:"kind"`
	MailFrom  reversePath   `json:"mail_from"`
	RcptTo    []reversePath `json:"rcpt_to"`
	Proved    bool          `json:"proved,omitempty"`
	MessageID string        `json:"message_id,omitempty"`
	Added     time.Time     `json:"added"`
	Size      int           `json:"size"`
}

// reversePath is a sender, or who gets a bounce. It may be an SRS address, whose
// local part can be longer than that of others.
type reversePath struct{ mailaddr.Address }

// UnmarshalText reads what MarshalText wrote.
func (p *reversePath) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*p = reversePath{}
		return nil
	}
	p.Address, err = srs.Parse(string(b))
	return err
}

// UnmarshalJSON reads a message that another process wants sent.
func (m *Mail) UnmarshalJSON(b []byte) error {
	type plain Mail
	in := struct {
		*plain
		MailFrom reversePath
	}{plain: (*plain)(m)}
	err := json.Unmarshal(b, &in)
	m.MailFrom = in.MailFrom.Address
	return err
}

// encode returns the file of m. What it takes, decode can read: a message that
// lies in the spool was promised to somebody.
func encode(m Mail, now time.Time) ([]byte, error) {
	switch {
	case len(m.RcptTo) == 0 || len(m.RcptTo) > maxRcpts:
		return nil, fmt.Errorf("%w: %d recipients", ErrInvalid, len(m.RcptTo))
	case len(m.Raw) == 0 || len(m.Raw) > MaxBytes:
		return nil, fmt.Errorf("%w: %d bytes", ErrInvalid, len(m.Raw))
	}
	e := envelope{Kind: m.Kind, MailFrom: reversePath{m.MailFrom}, Proved: m.Proved, MessageID: m.MessageID, Added: now.UTC(), Size: len(m.Raw)}
	for _, to := range m.RcptTo {
		if to.IsNull() {
			return nil, fmt.Errorf("%w: a recipient without address", ErrInvalid)
		}
		e.RcptTo = append(e.RcptTo, reversePath{to})
	}
	head, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := json.Unmarshal(head, &envelope{}); err != nil {
		return nil, fmt.Errorf("%w: envelope: %w", ErrInvalid, err)
	}
	if len(head) > maxEnvelope {
		return nil, fmt.Errorf("%w: an envelope of %d bytes", ErrInvalid, len(head))
	}
	return append(append(head, '\n'), m.Raw...), nil
}

// decode reads the file of a message.
func decode(r io.Reader) (envelope, []byte, error) {
	in := bufio.NewReaderSize(r, 4096)
	line, err := in.ReadSlice('\n')
	head := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) && len(head) <= maxEnvelope {
		line, err = in.ReadSlice('\n')
		head = append(head, line...)
	}
	if err != nil {
		return envelope{}, nil, fmt.Errorf("no envelope: %w", err)
	}
	var e envelope
	if err := json.Unmarshal(head, &e); err != nil {
		return envelope{}, nil, fmt.Errorf("envelope: %w", err)
	}
	if e.Size <= 0 || e.Size > MaxBytes || len(e.RcptTo) == 0 || len(e.RcptTo) > maxRcpts {
		return envelope{}, nil, errors.New("envelope out of bounds")
	}
	raw, err := io.ReadAll(io.LimitReader(in, int64(e.Size)+1))
	if err != nil {
		return envelope{}, nil, err
	}
	if len(raw) != e.Size {
		return envelope{}, nil, fmt.Errorf("%d bytes, the envelope says %d", len(raw), e.Size)
	}
	return e, raw, nil
}

// dir is the spool on the disk.
type dir string

// prepare makes the directories and removes what a crash left half written:
// nothing was promised for it.
func (d dir) prepare() error {
	for _, sub := range []string{"tmp", "new", "failed"} {
		if err := os.MkdirAll(d.in(sub), 0o700); err != nil {
			return fmt.Errorf("outgoing spool: %w", err)
		}
	}
	left, err := os.ReadDir(d.in("tmp"))
	if err != nil {
		return fmt.Errorf("outgoing spool: %w", err)
	}
	for _, f := range left {
		if err := os.Remove(d.in("tmp", f.Name())); err != nil {
			return fmt.Errorf("outgoing spool: %w", err)
		}
	}
	return nil
}

func (d dir) in(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// add writes a file that is whole or not there, whatever happens, and durable
// when add returns.
func (d dir) add(file []byte, now time.Time) (name string, err error) {
	name = now.UTC().Format("20060102T150405.000000000") + "-" + rand.Text()[:10] + suffix
	tmp := d.in("tmp", name)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("outgoing spool: %w", err)
	}
	_, err = f.Write(file)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, d.in("new", name))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("outgoing spool: %w", err), os.Remove(tmp))
	}
	if err := syncDir(d.in("new")); err != nil {
		return "", fmt.Errorf("outgoing spool: %w", err)
	}
	return name, nil
}

// names lists what waits, oldest first.
func (d dir) names() ([]string, error) {
	entries, err := os.ReadDir(d.in("new")) // by name, which begins with the time
	if err != nil {
		return nil, fmt.Errorf("outgoing spool: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) && e.Type().IsRegular() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

func (d dir) read(name string) (envelope, []byte, error) {
	f, err := os.Open(d.in("new", name))
	if err != nil {
		return envelope{}, nil, err
	}
	defer f.Close()
	return decode(f)
}

// done removes a message that was taken.
func (d dir) done(name string) error {
	if err := os.Remove(d.in("new", name)); err != nil {
		return fmt.Errorf("outgoing spool: %w", err)
	}
	return syncDir(d.in("new"))
}

// maxFailed is how many messages that nobody takes are kept.
const maxFailed = 1000

// fail puts a message aside that nobody takes. The oldest of them go when there
// are too many.
func (d dir) fail(name string) error {
	if err := os.MkdirAll(d.in("failed"), 0o700); err != nil { // somebody may have tidied up
		return fmt.Errorf("outgoing spool: %w", err)
	}
	if err := os.Rename(d.in("new", name), d.in("failed", name)); err != nil {
		return fmt.Errorf("outgoing spool: %w", err)
	}
	kept, _ := os.ReadDir(d.in("failed")) // by name, which begins with the time
	for i := range max(0, len(kept)-maxFailed) {
		_ = os.Remove(d.in("failed", kept[i].Name())) // the next one tries again
	}
	return nil
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
