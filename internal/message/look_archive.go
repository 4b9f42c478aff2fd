package message

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// decodeGroups decodes groups of four up to the first that is none, in place.
func decodeGroups(b []byte) []byte {
	b = b[:len(b)/4*4]
	n, err := base64.StdEncoding.Decode(b, b)
	if err != nil {
		n = min(n, len(b))
	}
	return b[:n]
}

// kindOf knows files by their first bytes.
func kindOf(b []byte) Kind {
	for _, m := range magics {
		if len(b) >= m.at+len(m.bytes) && string(b[m.at:m.at+len(m.bytes)]) == m.bytes {
			return m.kind
		}
	}
	return markup(b)
}

// magics are first bytes, longest first where one begins another.
var magics = []struct {
	at    int
	bytes string
	kind  Kind
}{
	{0, "MZ", Program}, {0, "\x7fELF", Program}, {0, "\xfe\xed\xfa\xce", Program}, {0, "\xfe\xed\xfa\xcf", Program},
	{0, "\xcf\xfa\xed\xfe", Program}, {0, "\xca\xfe\xba\xbe", Program},
	{0, "PK\x03\x04", Zip}, {0, "PK\x05\x06", Zip}, {0, "Rar!\x1a\x07", RAR}, {0, "7z\xbc\xaf\x27\x1c", SevenZip},
	{0, "\x1f\x8b", Gzip}, {0, "BZh", OtherArchive}, {0, "\xfd7zXZ\x00", OtherArchive}, {0, "MSCF", OtherArchive},
	{0, "\x60\xea", OtherArchive}, {7, "**ACE**", OtherArchive}, {257, "ustar", OtherArchive}, {0, "\x28\xb5\x2f\xfd", OtherArchive},
	{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE}, {0, "%PDF-", PDF}, {0, `{\rt`, RTF},
	{0, "L\x00\x00\x00\x01\x14\x02\x00", Shortcut}, {0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", OneNote},
	{0, "#!", Script}, {0, "\x89PNG", Picture}, {0, "\xff\xd8\xff", Picture}, {0, "GIF8", Picture}, {0, "BM", Picture},
	{0, "II*\x00", Picture}, {0, "MM\x00*", Picture}, {8, "WEBP", Picture}, {4, "ftyp", Picture},
	{0, "conectix", DiskImage}, {0, "vhdxfile", DiskImage}, {0, "BEGIN:V", Calendar},
}

// markup knows HTML and SVG behind white space, a byte order mark, comments
// and declarations.
func markup(b []byte) Kind {
	b = bytes.ToLower(bytes.TrimPrefix(b[:min(len(b), 1024)], []byte("\xef\xbb\xbf")))
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] != '<' {
		return Other
	}
	switch {
	case bytes.Contains(b, []byte("<svg")):
		return SVG
	case bytes.Contains(b, []byte("<html")), bytes.Contains(b, []byte("<!doctype html")), bytes.Contains(b, []byte("<script")),
		bytes.Contains(b, []byte("<body")), bytes.Contains(b, []byte("<head")), bytes.Contains(b, []byte("<meta")):
		return HTML
	}
	return Other
}

// looksAtZip reads the central directory (APPNOTE 4.3.12) when it lies within
// the tail, else the first entry.
func looksAtZip(a *Attachment, head, tail []byte) {
	var z zipped
	end := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	first := end
	if end >= 0 && len(tail) >= end+22 {
		size := int(binary.LittleEndian.Uint32(tail[end+12:]))
		first = end - size
	}
	if first < 0 || first == end {
		first = bytes.Index(tail, []byte("PK\x01\x02"))
	}
	z.directory(tail, first)
	if z.entries == 0 {
		z.local(head)
	}
	a.Files = z.names
	a.Marks |= z.marks
	if z.entries > 0 && z.programs == z.entries {
		a.Marks |= OnlyProgram
	}
}

// zipped collects what the directory of a zip file says.
type zipped struct {
	names             []string
	marks             Mark
	entries, programs int
}

// directory reads entries from offset at on.
func (z *zipped) directory(b []byte, at int) {
	const fixed = 46
	for z.entries < 1000 && at >= 0 && at+fixed <= len(b) && string(b[at:at+4]) == "PK\x01\x02" {
		flags := binary.LittleEndian.Uint16(b[at+8:])
		name := int(binary.LittleEndian.Uint16(b[at+28:]))
		more := int(binary.LittleEndian.Uint16(b[at+30:])) + int(binary.LittleEndian.Uint16(b[at+32:]))
		if at+fixed+name > len(b) {
			z.marks |= OddArchive
			return
		}
		z.entry(string(b[at+fixed:at+fixed+name]), flags)
		at += fixed + name + more
	}
}

// local reads the first local header (APPNOTE 4.3.7).
func (z *zipped) local(b []byte) {
	if len(b) < 30 || string(b[:4]) != "PK\x03\x04" {
		return
	}
	n := int(binary.LittleEndian.Uint16(b[26:]))
	if 30+n <= len(b) {
		z.entry(string(b[30:30+n]), binary.LittleEndian.Uint16(b[6:]))
		z.entries++ // there are more that nobody saw
	}
}

func (z *zipped) entry(name string, flags uint16) {
	if strings.HasSuffix(name, "/") {
		return // a folder
	}
	z.entries++
	name = strings.ToValidUTF8(name, "\ufffd")
	if len(z.names) < maxFiles {
		z.names = append(z.names, name)
	}
	if flags&1 != 0 {
		z.marks |= EncryptedArchive
	}
	base := strings.ToLower(name[strings.LastIndexAny(name, `/\`)+1:])
	switch _, ext := CutExtension(base); {
	case IsProgram(ext):
		z.programs++
		z.marks |= ArchivedProgram
	case archives[ext]:
		z.marks |= NestedArchive
	case base == "vbaproject.bin":
		z.marks |= Macro
	case strings.HasPrefix(base, "oleobject"):
		z.marks |= EmbeddedObject
	case base == "encryptedpackage":
		z.marks |= EncryptedArchive
	}
}

// archives are extensions of archives.
var archives = set("zip rar 7z gz tgz bz2 xz tar cab arj ace lzh iso img z lha zipx")

// lookAtArchive reads the flags of encryption of RAR (4 and 5) and 7z.
func lookAtArchive(a *Attachment, b []byte) {
	switch {
	case a.Kind == SevenZip:
		// The codec AES-256 + SHA-256 has the identifier 06 f1 07 01; an encrypted
		// header stands at the end, so this finds small files only.
		if bytes.Contains(b, []byte{0x06, 0xf1, 0x07, 0x01}) {
			a.Marks |= EncryptedArchive
		}
	case len(b) > 8 && b[6] == 1: // RAR 5: type 4 is the encryption header
		if len(b) > 14 && (b[12] == 4 || b[13] == 4) {
			a.Marks |= EncryptedArchive
		}
	case len(b) > 24: // RAR 4: main header 0x73 with flag 0x80, then a file 0x74 with flag 4
		if b[9] == 0x73 && binary.LittleEndian.Uint16(b[10:])&0x80 != 0 || b[22] == 0x74 && binary.LittleEndian.Uint16(b[23:])&4 != 0 {
			a.Marks |= EncryptedArchive
		}
	}
	if b = bytes.ToLower(b); bytes.Contains(b, []byte(".exe")) || bytes.Contains(b, []byte(".scr")) || bytes.Contains(b, []byte(".js\x00")) {
		a.Marks |= ArchivedProgram
	}
}

// set returns the words of s as a set.
func set(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

// CutExtension splits a file name at its last dot, in lower case. Blanks and
// dots at the end count for nothing, as Windows has it.
func CutExtension(name string) (base, ext string) {
	name = strings.ToLower(strings.TrimRight(name, " ."))
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, ""
	}
	return strings.TrimRight(name[:i], " "), strings.TrimSpace(name[i+1:])
}

// IsProgram reports whether ext, in lower case, is of what Windows runs, opens
// as a script or mounts with a click, and that nobody has to mail.
func IsProgram(ext string) bool { return programs[ext] }

var programs = set("ade adp app appx appxbundle application bat chm cmd com cpl dll exe gadget hta img ins iso isp jar jnlp " +
	"js jse lnk mde msc msi msix msp mst ocx one onepkg pif ps1 ps1xml psc1 psm1 reg scf scr sct settingcontent-ms shb shs " +
	"sys theme udl url vb vbe vbs vhd vhdx vxd wsc wsf wsh xbap xll xpi apk dmg pkg rdp library-ms search-ms appref-ms diagcab")
