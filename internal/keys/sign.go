package keys

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/mailerr"
)

// FieldName is the name of the field whose values Sign returns.
const FieldName = "DKIM-Signature"

// Errors of Sign, both permanent.
var (
	// ErrNoFrom is a message without a From field, which no signature can be
	// about (RFC 6376 §5.4).
	ErrNoFrom = mailerr.With(mailerr.Permanent, errors.New("message has no From field"))
	// ErrHeader is a message whose header block is longer than maxHeader.
	ErrHeader = mailerr.With(mailerr.Permanent, errors.New("header of the message is too long to sign"))
)

// maxHeader bounds the header block of a message to sign, in octets.
const maxHeader = 1 << 20

// maxSame bounds how many fields of one name are signed.
const maxSame = 10

// signed are the fields that a signature covers, as far as a message has them
// (RFC 6376 §5.4.1). The oversigned ones say what a person sees and where an
// answer goes; Sender and List-* are left open for mailing lists to add.
var signed = []struct {
	name string
	over bool
}{
	{"From", true}, {"To", true}, {"Cc", true}, {"Subject", true}, {"Date", true}, {"Message-ID", true},
	{"Reply-To", true}, {"MIME-Version", true}, {"Content-Type", true}, {"Content-Transfer-Encoding", true},
	{"In-Reply-To", true}, {"References", true}, {"Sender", false},
	{"List-Id", false}, {"List-Help", false}, {"List-Unsubscribe", false}, {"List-Unsubscribe-Post", false},
	{"List-Subscribe", false}, {"List-Post", false}, {"List-Owner", false}, {"List-Archive", false},
}

// Names returns what a signature covers of a message that has count(name) fields
// of each name: those that Sign covers, oversigned as there.
func Names(count func(name string) int) []string {
	var names []string
	for _, s := range signed {
		n := count(s.name)
		if s.over {
			n++
		}
		names = append(names, slices.Repeat([]string{s.name}, n)...)
	}
	return names
}

// Sign is the function of that name with the x= that the settings want.
func (s *Store) Sign(keys []Key, msg io.Reader) ([]string, error) {
	return sign(sha256.New(), keys, msg, s.cfg.Load().Expire.Std())
}

// Sign returns one value of a DKIM-Signature field for each of keys, in their
// order, over msg, which it reads once and to its end; the body is hashed once
// for all of them. Lines of msg end in CRLF; bare LF counts as CRLF.
//
// A value has no blank before it and no line end behind it; folding is LF and
// white space. The signature holds however many blanks follow the colon, and
// whether LF becomes CRLF in transport, as it does in Postfix.
func Sign(keys []Key, msg io.Reader) ([]string, error) { return sign(sha256.New(), keys, msg, 0) }

// sign is Sign with signatures that are good for as long as expire says; 0 is
// for ever. body is a new SHA-256.
func sign(body hash.Hash, keys []Key, msg io.Reader, expire time.Duration) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	r := bufio.NewReaderSize(msg, 16<<10)
	fs, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	w := dkim.NewBody(body, dkim.Relaxed)
	if _, err := io.Copy(w, r); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	now := time.Now()
	l := letter{bodyHash: base64.StdEncoding.EncodeToString(body.Sum(nil)), times: []string{fmt.Sprintf("t=%d;", now.Unix())}}
	if expire > 0 {
		l.times = append(l.times, fmt.Sprintf("x=%d;", now.Add(expire).Unix()))
	}
	l.names, l.text = fs.cover()
	values := make([]string, len(keys))
	for i, k := range keys {
		if values[i], err = l.sign(k); err != nil {
			return nil, fmt.Errorf("sign with %s: %w", k.Name(), err)
		}
	}
	return values, nil
}

// letter is what all signatures of one message have in common.
type letter struct {
	names    []string // h=
	text     []byte   // the canonical fields that names picks
	bodyHash string   // bh=
	times    []string // t= and x=
}

// sign returns the value of the field that k signs (RFC 6376 §3.5, §3.7). The
// tag b= is the last one, so that its value is what follows.
func (l *letter) sign(k Key) (string, error) {
	// Where the line begins: behind the name of the field and a blank.
	f := folder{col: len(FieldName) + 2}
	f.put("", "v=1;")
	for _, tag := range append([]string{"a=" + string(k.Algorithm) + "-sha256;", "c=relaxed/relaxed;",
		"d=" + k.Domain + ";", "s=" + k.Selector + ";"}, l.times...) {
		f.put(" ", tag)
	}
	f.put(" ", "h="+l.names[0])
	for _, n := range l.names[1:] {
		f.text = append(f.text, ':')
		f.col++
		f.put("", n)
	}
	f.text = append(f.text, ';')
	f.line("bh=" + l.bodyHash + ";")
	f.line("b=")
	text := dkim.AppendRelaxed(slices.Clip(l.text), []byte(FieldName+": "+string(f.text)))
	var opts crypto.SignerOpts = crypto.SHA256
	if k.Algorithm == Ed25519 {
		opts = crypto.Hash(0) // RFC 8463 §3: the hash is what is signed
	}
	sum := sha256.Sum256(text)
	sig, err := k.signer().Sign(rand.Reader, sum[:], opts)
	if err != nil {
		return "", err
	}
	for b := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(sig)), foldAt-11) {
		f.put("", string(b))
	}
	return string(f.text), nil
}

// foldAt is where a new line begins, in columns; a tab counts as 8.
const foldAt = 76

// folder writes a value in lines.
type folder struct {
	text []byte
	col  int
}

// put appends s behind blank, or on a new line where it would pass foldAt.
func (f *folder) put(blank, s string) {
	// One column is left for the colon or semicolon that may follow.
	if f.col+len(blank)+len(s) >= foldAt {
		f.line(s)
		return
	}
	f.text = append(append(f.text, blank...), s...)
	f.col += len(blank) + len(s)
}

// line appends s on a new line.
func (f *folder) line(s string) {
	f.text = append(append(f.text, "\n\t"...), s...)
	f.col = 8 + len(s)
}

// fields are the fields of a message that can be signed: for each place in
// signed those of that name, with their line ends, in the order of the message.
type fields [][][]byte

// cover returns h= and the canonical fields that it picks, of each name from
// the last one up (RFC 6376 §5.4.2).
func (fs fields) cover() (names []string, text []byte) {
	for i, s := range signed {
		same := fs[i][max(0, len(fs[i])-maxSame):]
		for _, f := range slices.Backward(same) {
			names = append(names, s.name)
			text = append(dkim.AppendRelaxed(text, f), "\r\n"...)
		}
		if s.over && len(same) == len(fs[i]) {
			names = append(names, s.name)
		}
	}
	return names, text
}

// readHeader reads the header block of a message.
func readHeader(r *bufio.Reader) (fields, error) {
	fs := make(fields, len(signed))
	at := -1 // the place of the field that a line belongs to, -1 for none
	for n := 0; ; {
		line, err := readLine(r, maxHeader-n)
		n += len(line)
		if err != nil && err != io.EOF {
			return nil, err
		}
		text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(text) == 0 {
			break
		}
		if text[0] != ' ' && text[0] != '\t' {
			if at = signedAt(text); at >= 0 {
				fs[at] = append(fs[at], line)
			}
		} else if at >= 0 {
			last := len(fs[at]) - 1
			fs[at][last] = append(fs[at][last], line...)
		}
		if err == io.EOF {
			break
		}
	}
	if len(fs[0]) == 0 { // From
		return nil, ErrNoFrom
	}
	return fs, nil
}

// readLine reads a line of at most limit octets with its end, io.EOF with the
// last one.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, ErrHeader
		}
		line = append(line, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("sign: %w", err)
		}
		return line, err
	}
}

// signedAt returns the place in signed of the field that line begins; -1 for
// none.
func signedAt(line []byte) int {
	name, _, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return -1
	}
	name = bytes.TrimRight(name, " \t")
	for i, s := range signed {
		if len(s.name) == len(name) && strings.EqualFold(s.name, string(name)) {
			return i
		}
	}
	return -1
}
