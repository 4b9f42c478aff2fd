package keys

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-msgauth/dkim"

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
	return sign(keys, msg, s.cfg.Load().Expire.Std())
}

// Sign returns one value of a DKIM-Signature field for each of keys, in their
// order, over msg, which it reads once and to its end. Lines of msg end in
// CRLF; bare LF counts as CRLF.
//
// A value has no blank before it and no line end behind it; folding is LF and
// white space. The signature holds however many blanks follow the colon, and
// whether LF becomes CRLF in transport, as it does in Postfix.
func Sign(keys []Key, msg io.Reader) ([]string, error) { return sign(keys, msg, 0) }

// sign is Sign with signatures that are good for as long as expire says; 0 is
// for ever.
func sign(keys []Key, msg io.Reader, expire time.Duration) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	r := bufio.NewReaderSize(msg, 16<<10)
	head, names, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	var end time.Time
	if expire > 0 {
		end = time.Now().Add(expire)
	}
	signers := make([]*dkim.Signer, 0, len(keys))
	writers := make([]io.Writer, 0, len(keys))
	for _, k := range keys {
		s, serr := dkim.NewSigner(&dkim.SignOptions{
			Domain:                 k.Domain,
			Selector:               k.Selector,
			Signer:                 k.signer(),
			HeaderCanonicalization: dkim.CanonicalizationRelaxed,
			BodyCanonicalization:   dkim.CanonicalizationRelaxed,
			HeaderKeys:             names,
			Expiration:             end,
		})
		if serr != nil {
			err = fmt.Errorf("sign with %s: %w", k.Name(), serr)
			break
		}
		signers, writers = append(signers, s), append(writers, s)
	}
	if err == nil {
		w := io.MultiWriter(writers...)
		if _, err = w.Write(head); err == nil {
			_, err = io.Copy(w, r)
		}
		if err != nil {
			err = fmt.Errorf("sign: %w", err)
		}
	}
	return finish(keys, signers, err)
}

// finish ends every signer, which each has a goroutine, and returns the values
// unless there was an error before.
func finish(keys []Key, signers []*dkim.Signer, err error) ([]string, error) {
	errs := make([]error, len(signers))
	var wg sync.WaitGroup
	for i, s := range signers {
		wg.Go(func() { errs[i] = s.Close() })
	}
	wg.Wait()
	if err != nil {
		return nil, err
	}
	values := make([]string, len(signers))
	for i, s := range signers {
		if errs[i] != nil {
			return nil, fmt.Errorf("sign with %s: %w", keys[i].Name(), errs[i])
		}
		values[i] = value(s.Signature())
	}
	return values, nil
}

// value takes name, blank and line end off a whole field and makes LF of CRLF.
func value(field string) string {
	_, v, _ := strings.Cut(field, ":")
	return strings.ReplaceAll(strings.Trim(v, " \r\n"), "\r\n", "\n")
}

// readHeader reads the header block of a message and returns it with only the
// fields that are signed, ready for a signer, and what goes into h=.
func readHeader(r *bufio.Reader) (head []byte, names []string, err error) {
	var out bytes.Buffer
	count := make(map[string]int)
	keep := false
	for n := 0; ; {
		line, err := readLine(r, maxHeader-n)
		n += len(line)
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(text) == 0 {
			break
		}
		if text[0] != ' ' && text[0] != '\t' {
			name, at := signedName(text)
			keep = at >= 0
			if keep {
				count[name]++
			}
		}
		if keep {
			out.Write(text)
			out.WriteString("\r\n")
		}
		if err == io.EOF {
			break
		}
	}
	if count["From"] == 0 {
		return nil, nil, ErrNoFrom
	}
	out.WriteString("\r\n")
	return out.Bytes(), signedNames(count), nil
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

// signedName returns the name in signed that the field in line has, and its
// place there; -1 for none.
func signedName(line []byte) (string, int) {
	name, _, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return "", -1
	}
	name = bytes.TrimRight(name, " \t")
	for i, s := range signed {
		if len(s.name) == len(name) && strings.EqualFold(s.name, string(name)) {
			return s.name, i
		}
	}
	return "", -1
}

// foldAt is where h= begins a new line.
const foldAt = 70

// signedNames returns h= for a message that has count fields of each name.
//
// The library writes h= as one line. A line may be folded after a colon, but
// a name with white space in it would not be found in the message; only the
// last, surplus instance of an oversigned name is not looked for. So these
// carry the line ends.
func signedNames(count map[string]int) []string {
	var names []string
	var surplus []string // to be placed; their other instances are placed
	col := 0
	put := func(name string) {
		if col+len(name) > foldAt && len(surplus) > 0 {
			names = append(names, "\r\n\t"+surplus[0])
			col, surplus = 8+len(surplus[0])+1, surplus[1:]
		}
		names = append(names, name)
		col += len(name) + 1
	}
	for _, s := range signed {
		n := min(count[s.name], maxSame)
		for range n {
			put(s.name)
		}
		if s.over && n == count[s.name] {
			surplus = append(surplus, s.name)
		}
	}
	for len(surplus) > 0 {
		name := surplus[0]
		surplus = surplus[1:]
		if col+len(name) > foldAt {
			name, col = "\r\n\t"+name, 8
		}
		names = append(names, name)
		col += len(name) + 1
	}
	return names
}
