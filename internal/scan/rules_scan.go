package scan

func partlyScanned(f *facts) outcome {
	if !f.partly() {
		return outcome{}
	}
	why := f.text.Reasons
	if f.Size > int64(len(f.Raw.Raw)) {
		why = append([]string{"the message is longer than what was kept for rules"}, why...)
	}
	return yes(why...)
}
