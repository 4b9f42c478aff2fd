package tail

// preset has the patterns of a program that many have.
type preset struct {
	service  string
	programs []string
	patterns []string
}

// address takes what an address may be made of; netip.ParseAddr has the last
// word.
const address = `(?P<addr>[0-9A-Fa-f:.]{2,45})`

// presets returns what we know of other programs. In each pattern the address
// stands where the program puts it: behind all that was typed, up to the end of
// the line, or before it.
func presets() map[string]preset {
	return map[string]preset{
		// OpenSSH 6 to 10 (sshd-session since 9.8). Wrong passwords only: a client
		// with five keys fails four times before it succeeds, and "Invalid user" is
		// one more line of the same try.
		"sshd": {"ssh", []string{"sshd", "sshd-session"}, []string{
			`^Failed (?:password|keyboard-interactive(?:/pam)?) for (?:invalid user )?(?P<user>.*) from ` + address + ` port [0-9]{1,5}(?: ssh2)?$`,
		}},
		// Roundcube 1.3 to 1.6: userlogins.log with log_logins, and errors.log. An
		// address behind a proxy is written in brackets behind it, and is not taken.
		"roundcube": {"web", nil, []string{
			`^\[[0-9A-Za-z :+-]{10,40}\]: (?:<[0-9a-z]{1,32}> )?Failed login for (?P<user>.*) from ` + address + ` in session [0-9A-Za-z,-]{1,128} \(error: -?[0-9]{1,5}\)$`,
			`^\[[0-9A-Za-z :+-]{10,40}\]: (?:<[0-9a-z]{1,32}> )?IMAP Error: Login failed for (?P<user>.*) against [0-9A-Za-z.:_-]{1,255} from ` + address + `\. [^()<>]{1,400} in /[0-9A-Za-z._/-]{1,200} on line [0-9]{1,6}(?: \((?:GET|POST) /[^ ()]{0,1000}\))?$`,
		}},
		// SOGo 2 to 5: sogo.log. It writes a list where a proxy named a client, which
		// is not taken.
		"sogo": {"web", nil, []string{
			`^[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} sogod \[[0-9]{1,10}\]: SOGoRootPage Login from '` + address + `' for user '(?P<user>[^']*)' might not have worked(?: - password policy: -?[0-9]{1,10}  grace: -?[0-9]{1,10}  expire: -?[0-9]{1,10}  bound: -?[0-9]{1,10})?\s?$`,
		}},
	}
}
