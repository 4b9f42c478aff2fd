package scan

import (
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/message"
)

// linkMismatch looks at links whose text is itself a host or a URL. It counts
// in full where the one looks like the other, else half.
//
// The owner of the host that is shown may lead readers over a service that
// counts them. So a right signature of that owner ends the question. A link
// that says where it goes on to is a small mismatch, as is one to where nearly
// all links lead, which is how newsletters count; with the field that such mail
// bears (RFC 2369 §3.2) it is none.
func linkMismatch(f *facts) outcome {
	for i := range f.text.Links {
		l := &f.text.Links[i]
		if l.Text == "" || !l.To.Web() {
			continue
		}
		shown := link.Shown(l.Text)
		if shown == "" || link.Same(shown, l.To.Host) || f.signedBy(shown) {
			continue
		}
		says := shown + " leads to " + l.To.Host
		if leadsOn(&l.To, shown) {
			return part(0.25, says)
		}
		if f.counted(l.To.Host) {
			if _, bulk := f.Raw.First("List-Unsubscribe"); bulk {
				continue
			}
			return part(0.25, says)
		}
		if passesFor(l.To.Host, shown) {
			return yes(says)
		}
		return part(0.5, says)
	}
	return outcome{}
}

// leadsOn reports whether the query of u holds a link to shown.
func leadsOn(u *link.URL, shown string) bool {
	_, query, ok := strings.Cut(u.Path, "?")
	return ok && strings.Contains(query, "http") && strings.Contains(query, link.Registered(shown))
}

// counted reports whether host is that of a service which most links of the
// message go through.
func (f *facts) counted(host string) bool {
	domain := link.Registered(host)
	same, all := 0, 0
	for i := range f.text.Links {
		if u := &f.text.Links[i].To; u.Web() && f.text.Links[i].Kind == message.Anchor {
			all++
			if u.Host == host || link.Registered(u.Host) == domain {
				same++
			}
		}
		if all > 50 {
			break
		}
	}
	return same >= 4 && same*10 >= all*6
}

// passesFor reports whether a reader may take host for shown: it has its name
// in one of its labels, or one letter other.
func passesFor(host, shown string) bool {
	name := link.Skeleton(link.Label(shown))
	if len(name) < 4 {
		return false
	}
	skeleton := link.Skeleton(link.ToUnicode(host))
	if strings.Contains(skeleton, name) {
		return true
	}
	return oneApart(link.Skeleton(link.ToUnicode(link.Label(host))), name)
}

// oneApart reports whether a and b differ by one letter put in, left out or
// changed, or by two neighbours that changed places.
func oneApart(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	a, b = a[i:], b[i:]
	switch {
	case len(a) == 0 || len(b) == 0:
		return len(a)+len(b) == 1
	case a[1:] == b[1:], a[1:] == b, a == b[1:]:
		return true
	}
	return len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]
}

// signedBy reports whether a right DKIM signature is of host's organization.
func (f *facts) signedBy(host string) bool {
	return slices.ContainsFunc(f.Auth.DKIM, func(d mailauth.DKIM) bool {
		return d.Result == authres.Pass && sameOrganization(d.Domain, host)
	})
}

// firstLink hits at the first web link where ok is true, and tells the host.
func (f *facts) firstLink(ok func(u *link.URL) bool) outcome {
	for i := range f.text.Links {
		if u := &f.text.Links[i].To; u.Web() && ok(u) {
			return yes(link.ToUnicode(u.Host))
		}
	}
	return outcome{}
}

// oddLink returns a rule that hits where a link has that oddity.
func oddLink(odd link.Odd) func(*facts) outcome {
	return func(f *facts) outcome {
		return f.firstLink(func(u *link.URL) bool { return u.Odd.Has(odd) && !u.Odd.Has(link.BadHost) })
	}
}

// places returns what kind of place each link leads to. Several rules ask it of
// each link.
func (f *facts) places() []link.Service {
	if f.lazyPlaces == nil {
		f.lazyPlaces = make([]link.Service, len(f.text.Links))
		for i := range f.text.Links {
			f.lazyPlaces[i] = f.text.Links[i].To.Service()
		}
	}
	return f.lazyPlaces
}

// firstPlace is firstLink for the links that lead to such a place.
func (f *facts) firstPlace(s link.Service, ok func(u *link.URL) bool) outcome {
	for i, leads := range f.places() {
		if u := &f.text.Links[i].To; leads == s && u.Web() && ok(u) {
			return yes(link.ToUnicode(u.Host))
		}
	}
	return outcome{}
}

// service returns a rule that hits where a link leads to such a place, unless
// it is the author's own.
func service(s link.Service) func(*facts) outcome {
	return func(f *facts) outcome {
		return f.firstPlace(s, func(u *link.URL) bool { return !f.authorOf(u.Host) })
	}
}

// authorOf reports whether host is of the organization in From.
func (f *facts) authorOf(host string) bool {
	return len(f.text.From) > 0 && link.Same(f.text.From[0].Addr.Domain, host)
}

// omograph: a name that comes out as another one, letter by letter. A host in
// the writing of its own top-level domain is no disguise.
func omograph(f *facts) outcome {
	return f.firstLink(func(u *link.URL) bool {
		if !strings.Contains(u.Host, "xn--") || strings.HasPrefix(u.Host[strings.LastIndexByte(u.Host, '.')+1:], "xn--") {
			return false
		}
		return link.Disguise(u.Host) != ""
	})
}

func mixedHost(f *facts) outcome {
	return f.firstLink(func(u *link.URL) bool { return strings.Contains(u.Host, "xn--") && link.Mixed(u.Host) })
}

// An address of a private network leads a stranger nowhere: honest mail of
// machines has it.
func urlNumeric(f *facts) outcome {
	return f.firstLink(func(u *link.URL) bool { return u.Odd.Has(link.Numeric) && !u.Odd.Has(link.Private) })
}

// urlUser is full where the user reads as a host.
func urlUser(f *facts) outcome {
	for i := range f.text.Links {
		u := &f.text.Links[i].To
		if !u.Web() || !u.Odd.Has(link.UserInfo) {
			continue
		}
		user, _, _ := strings.Cut(u.User, ":")
		if strings.IndexByte(user, '.') > 0 || len(u.User) > 32 {
			return yes(u.User, u.Host)
		}
		return part(0.5, u.User, u.Host)
	}
	return outcome{}
}

func urlDots(f *facts) outcome {
	return f.firstLink(func(u *link.URL) bool {
		return strings.Count(u.Host, ".") > 6 && !u.Odd.Has(link.Numeric)
	})
}

// urlPort leaves out the ports that development and honest appliances have.
func urlPort(f *facts) outcome {
	return f.firstLink(func(u *link.URL) bool {
		switch u.Port {
		case "", "80", "443", "8080", "8443", "8000", "8888", "3000":
			return false
		}
		return true
	})
}

// cheap are top-level domains that are mostly in the hands of spammers.
var cheap = words("tk ml ga cf gq top xyz icu buzz cyou click link work loan win bid date download racing review stream trade party " +
	"science faith cricket accountant men gdn rest sbs cfd bond quest monster hair beauty skin makeup mom autos boats " +
	"country kim fit zip mov lol pics surf uno best cam")

func urlTLD(f *facts) outcome {
	return f.firstLink(func(u *link.URL) bool {
		return cheap[u.Host[strings.LastIndexByte(u.Host, '.')+1:]] && !f.authorOf(u.Host)
	})
}

// shortener: among many links one is a footer, as lists and papers have it.
func shortener(f *facts) outcome {
	if len(f.text.Links) > 3 {
		return outcome{}
	}
	return service(link.Shortener)(f)
}

// storage: programs and logs are stored there as well, pages hardly.
func storage(f *facts) outcome {
	return f.firstPlace(link.Storage, func(u *link.URL) bool {
		path, query, _ := strings.Cut(u.Path, "?")
		path, _, fragment := strings.Cut(path, "#")
		return strings.HasSuffix(path, ".html") || strings.HasSuffix(path, ".htm") || fragment || strings.Contains(query, "#")
	})
}

func fileURL(f *facts) outcome {
	for i := range f.text.Links {
		if l := &f.text.Links[i]; l.To.Scheme == "file" && l.Kind == message.Anchor {
			return yes(l.URL)
		}
	}
	return outcome{}
}

// urlOnly: the text has a link, and besides it a few words at most.
func urlOnly(f *facts) outcome {
	if f.text.Partly || len(f.text.Attachments) > 0 || f.text.Words.Count > 25 {
		return outcome{}
	}
	webs, letters := 0, 0
	for i := range f.text.Links {
		if l := &f.text.Links[i]; l.To.Web() {
			webs++
			if l.Kind == message.Plain {
				letters += len(l.URL)
			} else {
				letters += len(l.Text)
			}
		}
	}
	shown := len(strings.TrimSpace(strings.Join(f.text.Text, "")))
	if shown == 0 {
		shown = len(f.text.Visible)
	}
	rest := shown - letters
	if webs == 0 || shown == 0 || rest > 40 {
		return outcome{}
	}
	if rest > 5 {
		return part(0.5)
	}
	return yes()
}

// httpToHTTPS leaves another host to linkMismatch.
func httpToHTTPS(f *facts) outcome {
	for i := range f.text.Links {
		l := &f.text.Links[i]
		if l.To.Scheme == "http" && len(l.Text) > 8 && strings.EqualFold(l.Text[:8], "https://") && link.Same(link.Shown(l.Text), l.To.Host) {
			return yes(l.To.Host)
		}
	}
	return outcome{}
}

// inside are folders of web applications that no page is served from.
var inside = []string{"/wp-includes/", "/wp-admin/", "/wp-content/plugins/", "/wp-content/themes/", "/wp-content/uploads/", "/wp-content/upgrade/",
	"/components/com_", "/modules/mod_", "/administrator/components/", "/cgi-sys/", "/sites/default/files/"}

// Pictures, styles and documents there are what the application serves.
func hackedSite(f *facts) outcome {
	for i := range f.text.Links {
		u := &f.text.Links[i].To
		if !u.Web() || len(u.Path) < 8 {
			continue
		}
		for _, dir := range inside {
			_, file, ok := strings.Cut(u.Path, dir)
			if !ok {
				continue
			}
			file, _, _ = strings.Cut(file, "?")
			if strings.HasSuffix(file, ".php") || strings.HasSuffix(file, ".html") || strings.HasSuffix(file, ".htm") || strings.HasSuffix(file, ".zip") {
				return yes(u.Host + clip(u.Path, 60))
			}
		}
	}
	return outcome{}
}

// pages are parts of the names of pages; logs and sources that honest people
// point to in such folders have other ones.
var pages = []string{".php", ".htm", ".asp", "login", "signin", "index", "verify"}

// RFC 8615 gives one dot folder to everybody.
func hiddenPath(f *facts) outcome {
	return f.firstLink(func(u *link.URL) bool {
		path, _, _ := strings.Cut(u.Path, "?")
		i := strings.Index(path, "/.")
		if i < 0 || strings.HasPrefix(path[i:], "/.well-known") || strings.HasPrefix(path[i:], "/../") || strings.HasPrefix(path[i:], "/./") {
			return false
		}
		dir, _, ok := strings.Cut(path[i+2:], "/")
		if !ok || len(dir) < 2 || strings.HasPrefix(dir, "git") || dir[0]|0x20 < 'a' || dir[0]|0x20 > 'z' {
			return false
		}
		file := strings.ToLower(path[strings.LastIndexByte(path, '/')+1:])
		return slices.ContainsFunc(pages, func(p string) bool { return strings.Contains(file, p) })
	})
}

// A fragment never reaches the server, so a mailing service has no use for an
// address in it; a page that shows the reader his own address does.
func rcptInFragment(f *facts) outcome {
	return f.firstLink(func(u *link.URL) bool {
		i := strings.IndexByte(u.Path, '#')
		if i < 0 || len(u.Path)-i < 6 {
			return false
		}
		fragment := strings.ToLower(u.Path[i+1:])
		return slices.ContainsFunc(f.rcpts(), func(a string) bool { return strings.Contains(fragment, a) })
	})
}

// rcpts are the addresses of the recipients in lower case: of the envelope, and
// of To where there is none.
func (f *facts) rcpts() []string {
	var out []string
	for _, a := range f.RcptTo {
		out = append(out, strings.ToLower(a.String()))
	}
	if len(out) == 0 {
		if to, ok := f.Raw.First("To"); ok {
			if i := strings.LastIndexByte(to, '<'); i >= 0 {
				to = strings.TrimSuffix(to[i+1:], ">")
			}
			if strings.IndexByte(to, '@') > 0 && !strings.ContainsAny(to, " ,;") {
				out = append(out, strings.ToLower(to))
			}
		}
	}
	return out
}
