package scan

import "strings"

// gtubePattern is the string that SpamAssassin defined and every filter knows.
const gtubePattern = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

func gtube(f *facts) outcome {
	if strings.Contains(f.text.Subject, gtubePattern) || strings.Contains(f.text.Visible, gtubePattern) {
		return yes()
	}
	for _, t := range f.text.Text {
		if strings.Contains(t, gtubePattern) {
			return yes()
		}
	}
	return outcome{}
}
