package backup

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrCut means that a stream ended before its end.
var ErrCut = errors.New("the copy ended too early")

// maxGrowth bounds by how much a stream may be larger than twice of what it
// announces.
const maxGrowth = 64 << 20

// Receive takes the stream of a Source into the set.
func (b *Builder) Receive(ctx context.Context, r io.Reader, p Progress) error {
	t := tar.NewReader(reader{ctx, r})
	head, err := b.begin(t)
	if err != nil {
		return cut(ctx, err)
	}
	b.manifest.Time = head.Time
	if err := room(b.root, head.Bytes, head.Files); err != nil {
		return err
	}
	var done, size int64
	for {
		h, err := t.Next()
		if err != nil {
			return cut(ctx, err)
		}
		if h.Name == endEntry {
			return b.end(t, h.Size)
		}
		if !strings.HasPrefix(h.Name, dataDir+"/") || h.Typeflag != tar.TypeReg || !isName(h.Name) || h.Size < 0 || len(b.manifest.Files) >= maxFiles {
			return fmt.Errorf("the copy has an entry %.100q that is no file of ours", h.Name)
		}
		// A name may get a larger file after the begin, and a hole costs its sender
		// nothing.
		if size += h.Size; size-2*head.Bytes > maxGrowth || h.Size > maxBytes {
			return fmt.Errorf("the copy has far more than the %d bytes that it began with", head.Bytes)
		}
		sum, err := writeNew(b.root, h.Name, teller{t, func(n int64) { done += n; p.tell(done, head.Bytes) }}, h.Size, nil)
		if err != nil {
			return cut(ctx, err)
		}
		b.manifest.Files = append(b.manifest.Files, File{Path: h.Name, Size: h.Size, SHA256: sum})
	}
}

// cut tells of a stream that is not whole.
func cut(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	return err
}

// begin reads the first entry.
func (b *Builder) begin(t *tar.Reader) (head begin, err error) {
	h, err := t.Next()
	if err != nil {
		return head, err
	}
	if h.Name != beginEntry {
		return head, fmt.Errorf("the copy begins with %.100q", h.Name)
	}
	if err := decodeNote(t, h.Size, &head); err != nil {
		return head, err
	}
	if head.Format != Format {
		return head, fmt.Errorf("the gatepost that runs copies in format %d, this one reads %d: restart it, or run the command of its version", head.Format, Format)
	}
	if head.Bytes < 0 || head.Files < 0 || head.Bytes > maxBytes || head.Files > maxFiles {
		return head, errors.New("the copy announces sizes that can not be")
	}
	return head, nil
}

// end reads the last entry, and says what it says.
func (b *Builder) end(t *tar.Reader, size int64) error {
	var last end
	if err := decodeNote(t, size, &last); err != nil {
		return err
	}
	if last.Error != "" {
		return errors.New(last.Error)
	}
	b.manifest.LeftOut = append(b.manifest.LeftOut, last.LeftOut...)
	if _, err := t.Next(); err != io.EOF {
		return fmt.Errorf("something follows the end of the copy: %v", err)
	}
	return nil
}

func decodeNote(r io.Reader, size int64, v any) error {
	if size < 0 || size > maxNote {
		return fmt.Errorf("a note of %d bytes", size)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("decode note: %w", err)
	}
	return nil
}
