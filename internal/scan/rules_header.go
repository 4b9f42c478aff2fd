package scan

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// onceOnly are the fields that RFC 5322 §3.6 allows once, without From, which
// has a rule of its own.
var onceOnly = []string{"Date", "Sender", "Reply-To", "To", "Cc", "Message-ID", "In-Reply-To", "References", "Subject"}

func repeatedHeaders(f *facts) outcome {
	var again []string
	for _, name := range onceOnly {
		n := 0
		for i := range f.Raw.Fields {
			if f.Raw.Fields[i].Is(name) {
				n++
			}
		}
		if n > 1 {
			again = append(again, name)
		}
	}
	if again == nil {
		return outcome{}
	}
	return yes(again...)
}

// headerBroken: the block of fields ends in a line that is none, without a
// blank line; or the text begins with fields, which is what becomes of that on
// its way through an MTA.
func headerBroken(f *facts) outcome {
	body := f.Raw.Raw[f.Raw.HeaderEnd:]
	if len(body) == 0 || f.Raw.HeaderCut {
		return outcome{}
	}
	block := bytes.ReplaceAll(f.Raw.Raw[max(0, f.Raw.HeaderEnd-4):f.Raw.HeaderEnd], []byte("\r"), nil)
	if f.Raw.HeaderEnd > 0 && !bytes.HasSuffix(block, []byte("\n\n")) && !bytes.Equal(block, []byte("\n")) {
		return yes("no blank line")
	}
	line, _, _ := bytes.Cut(body[:min(len(body), 200)], []byte("\n"))
	name, _, ok := strings.Cut(string(line), ":")
	if ok && slices.ContainsFunc(lostFields, func(s string) bool { return strings.EqualFold(s, name) }) {
		return yes(name)
	}
	return outcome{}
}

// lostFields are fields with which no text begins, unlike "From:" and
// "Subject:" of a message that someone passes on.
var lostFields = []string{"Received", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Message-ID", "Return-Path",
	"X-Mailer", "X-Priority", "Reply-To", "DKIM-Signature"}

// emptyDelimiter: "From:x". Legal, and written by no program that people use.
func emptyDelimiter(f *facts) outcome {
	var names []string
	for i := range f.Raw.Fields {
		fd := &f.Raw.Fields[i]
		if len(fd.Value) == 0 || fd.Value[0] == ' ' || fd.Value[0] == '\t' || fd.Value[0] == '\r' || fd.Value[0] == '\n' {
			continue
		}
		for _, n := range []string{"From", "To", "Cc", "Reply-To", "Date", "Subject", "Message-ID"} {
			if fd.Is(n) {
				names = append(names, n)
			}
		}
	}
	if names == nil {
		return outcome{}
	}
	return part(0.4+0.2*float64(len(names)), names...)
}

// missingEssential: of the five that each message has, one at most is there.
func missingEssential(f *facts) outcome {
	n := 0
	for _, name := range []string{"From", "To", "Date", "Message-ID", "Subject"} {
		if !f.has(name) {
			n++
		}
	}
	return when(n >= 4)
}

// emptyMessage: neither a subject nor a text, nor anything attached.
func emptyMessage(f *facts) outcome {
	body := bytes.TrimSpace(f.Raw.Raw[f.Raw.HeaderEnd:])
	return when(len(body) == 0 && strings.TrimSpace(f.text.Subject) == "")
}

// typeSemicolon: RFC 2045 §5.1 has a parameter after each semicolon.
func typeSemicolon(f *facts) outcome {
	v, ok := f.Raw.First("Content-Type")
	return when(ok && strings.HasSuffix(strings.TrimSpace(v), ";"))
}

// versionCase: "MIME-Version" is how each standard writes it; Apple writes
// "Mime-Version".
func versionCase(f *facts) outcome {
	for i := range f.Raw.Fields {
		if fd := &f.Raw.Fields[i]; fd.Is("MIME-Version") {
			return when(fd.Name != "MIME-Version" && fd.Name != "Mime-Version")
		}
	}
	return outcome{}
}

// bodyDescribed: Pegasus Mail has always written it, and since its days
// programs for spam that copied it.
func bodyDescribed(f *facts) outcome {
	v, _ := f.Raw.First("Content-Description")
	return when(strings.EqualFold(v, "Mail message body") && !strings.HasPrefix(f.mailer(), "Pegasus"))
}

// interspire: the fields of a program for newsletters that spammers like.
func interspire(f *facts) outcome {
	return when(f.has("X-Mailer-LID") || f.has("X-Mailer-RecptId") || f.has("X-Mailer-SID"))
}

// mailer returns what says to have written the message.
func (f *facts) mailer() string {
	v, ok := f.Raw.First("X-Mailer")
	if !ok {
		v, _ = f.Raw.First("User-Agent")
	}
	return v
}

// bulkMailers are programs for mass mail that honest senders do not use.
var bulkMailers = []string{"fmmailer", "leaf phpmailer", "leafmailer", "email sending system", "smart_send", "atomic mail sender",
	"send-safe", "mass sender", "massmail", "dark mailer", "bulk mail", "group mail", "gammadyne", "supmailer", "ultimate mailer",
	"turbo-mailer", "blastmail", "mailkiller", "stealthmail", "diffondi", "direct email", "express mail", "inet_mailer"}

func mailerBulk(f *facts) outcome {
	m := strings.ToLower(f.mailer())
	if m == "" {
		return outcome{}
	}
	for _, s := range bulkMailers {
		if strings.Contains(m, s) {
			return yes(f.mailer())
		}
	}
	return outcome{}
}

// oldMailers have had no new version for ten years.
var oldMailers = []string{"microsoft outlook express", "outlook express", "microsoft outlook imo", "microsoft windows mail",
	"windows live mail", "microsoft windows live mail", "internet mail service", "eudora", "qualcomm", "incredimail", "lotus notes release 5",
	"the bat! (v1", "the bat! (v2", "the bat! (v3", "foxmail 4", "foxmail 5", "foxmail 6", "phpmailer [version 1", "phpmailer 5", "phpmailer 4",
	"phpmailer 2", "phpmailer 1", "microsoft outlook, build 10", "microsoft office outlook, build 11", "microsoft office outlook 11",
	"microsoft office outlook 12", "microsoft cdo", "opera mail", "opera7", "netscape", "mozilla 4", "aol 9", "outlook/"}

// mailersWereNew is when the last of oldMailers still had users.
var mailersWereNew = time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)

func mailerOld(f *facts) outcome {
	m := strings.ToLower(f.mailer())
	if m == "" || f.now.Before(mailersWereNew) {
		return outcome{}
	}
	for _, s := range oldMailers {
		if strings.HasPrefix(m, s) {
			return yes(f.mailer())
		}
	}
	return outcome{}
}

// outlookForged: the programs of this name that wrote "X-MSMail-Priority" or
// call themselves by a build all write X-MimeOLE too.
func outlookForged(f *facts) outcome {
	if f.has("X-MimeOLE") {
		return outcome{}
	}
	m := f.mailer()
	for _, s := range []string{"Microsoft Outlook Express", "Microsoft Outlook, Build", "Microsoft Office Outlook, Build", "Microsoft Outlook IMO"} {
		if strings.HasPrefix(m, s) {
			return yes(m)
		}
	}
	return outcome{}
}

// outlookPriority: the field of Microsoft's programs for a message that none of
// them says to have written.
func outlookPriority(f *facts) outcome {
	return when(f.has("X-MSMail-Priority") && !f.has("X-MimeOLE") && !strings.Contains(f.mailer(), "Microsoft"))
}

// priorityOdd: the field has 1 to 5, with a word behind it.
func priorityOdd(f *facts) outcome {
	v, ok := f.Raw.First("X-Priority")
	if !ok {
		return outcome{}
	}
	v = strings.TrimSpace(v)
	digit := len(v) > 0 && v[0] >= '1' && v[0] <= '5' && (len(v) == 1 || !isNumeral(v[1]))
	word := slices.ContainsFunc([]string{"normal", "high", "low"}, func(s string) bool { return strings.EqualFold(s, v) })
	if digit || word {
		return outcome{}
	}
	return yes(v)
}

// priorityHigh: what asks to be read first, and names no program that has a
// button for that.
func priorityHigh(f *facts) outcome {
	v, _ := f.Raw.First("X-Priority")
	v = strings.TrimSpace(v)
	high := strings.HasPrefix(v, "1") || strings.HasPrefix(v, "2")
	return when(high && !f.has("User-Agent") && (f.mailer() == "" || strings.Contains(strings.ToLower(f.mailer()), "php")))
}
