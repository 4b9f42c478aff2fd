package scan

import "testing"

// TestNewListSpeaksForNobody: "via list" in the name saves a list that wrote
// before, not a stranger with a List-Id of his own.
func TestNewListSpeaksForNobody(t *testing.T) {
	const mail = "From: \"PayPal Service via Support\" <x@evil.net>\nTo: bob@example.org\nList-Id: <support.evil.net>\nSubject: x\n\nx\n"
	for _, first := range []bool{false, true} {
		m := Message{Raw: parse(mail), Known: Known{Asked: true, First: first}}
		if _, hit := find(Scan(Default(), m, noon).Lines, "BRAND_NAME"); hit != first {
			t.Errorf("first mail of the author %v: BRAND_NAME %v", first, hit)
		}
	}
}

// TestHarvestedAnswer: an answer to a message from a list's archive makes its
// author no friend.
func TestHarvestedAnswer(t *testing.T) {
	const mail = "From: \"Alice Example\" <boss@evil.net>\nTo: bob@example.org\nReply-To: x@gmail.com\nIn-Reply-To: <1@example.org>\nSubject: Re: x\n\nx\n"
	for _, friend := range []bool{false, true} {
		m := Message{Raw: parse(mail), OwnDomains: []string{"example.org"},
			Known: Known{Asked: true, First: true, Reply: true, Correspondent: friend, Namesake: "alice@example.org"}}
		res := Scan(Default(), m, noon)
		for _, name := range []string{"FIRST_TIME_SUSPICIOUS", "OWN_NAME_IMPERSONATION"} {
			if _, hit := find(res.Lines, name); hit == friend {
				t.Errorf("a correspondent %v: %s %v, %+v", friend, name, hit, res.Lines)
			}
		}
	}
}
