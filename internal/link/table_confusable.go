package link

// Latin returns the plain letter that r, in lower case, looks like.
func Latin(r rune) (byte, bool) {
	switch {
	case r < 0x80:
		return byte(r), r >= 'a' && r <= 'z'
	case r >= 'ａ' && r <= 'ｚ': // full width
		return byte(r-'ａ') + 'a', true
	case r >= 0x1d400 && r <= 0x1d6a3: // mathematical alphabets, 26 capitals and 26 small each
		return byte('a' + (r-0x1d400)%26), true
	case r >= 0x24d0 && r <= 0x24e9: // circled
		return byte(r-0x24d0) + 'a', true
	}
	l, ok := lookAlike[r]
	return l, ok
}

// lookAlike holds the letters of other scripts, and the odd ones of Latin, that
// a reader takes for plain ones in the usual fonts.
var lookAlike = func() map[rune]byte {
	m := map[rune]byte{}
	for latin, others := range map[byte]string{
		'a': "аɑαἀ", 'b': "Ььƅ", 'c': "сϲⅽᴄ", 'd': "ԁⅾɗ", 'e': "еҽєεɛ", 'f': "ƒſ", 'g': "ɡց",
		'h': "һհ", 'i': "іıɩιⅰ", 'j': "јϳ", 'k': "кκҡ", 'l': "ⅼӏӀ׀ǀ|ʟ", 'm': "мⅿ", 'n': "ոпηŋ",
		'o': "оοօσߋøо०", 'p': "рρ", 'q': "ԛգ", 'r': "гᴦɾ", 's': "ѕꜱʂ", 't': "тτţ", 'u': "υսцʋ",
		'v': "ѵνⅴᴠ", 'w': "ԝѡωɯ", 'x': "хⅹχ", 'y': "уүγʏ", 'z': "ᴢżʐ",
	} {
		for _, r := range others {
			m[r] = latin
		}
	}
	return m
}()
