package lists

import (
	"net/netip"
	"strings"
)

// notPublic are networks in which nobody is whom a list could know: private,
// shared, for documentation, for tests, or not given to anybody (RFC 6890).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("2001::/23"),
}

// global is what of IPv6 is given out.
var global = netip.MustParsePrefix("2000::/3")

// public reports whether a is an address that somebody on the internet has.
func public(a netip.Addr) bool {
	if !a.IsValid() || a.Is6() && !global.Contains(a) {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// domainSet holds domains with all that is below them.
type domainSet map[string]bool

func newDomainSet(lists ...[]string) domainSet {
	s := make(domainSet)
	for _, l := range lists {
		for _, d := range l {
			s[d] = true
		}
	}
	return s
}

// has reports whether host is one of s or below one.
func (s domainSet) has(host string) bool {
	for {
		if s[host] {
			return true
		}
		i := strings.IndexByte(host, '.')
		if i < 0 {
			return false
		}
		host = host[i+1:]
	}
}

// within reports whether host is domain or below it.
func within(host, domain string) bool {
	return host == domain || len(host) > len(domain) && strings.HasSuffix(host, domain) && host[len(host)-len(domain)-1] == '.'
}

// wellKnown are domains that so many good messages name that no list has them:
// to ask costs the lists and us, and tells them nothing. Where strangers may
// publish under a name of their own the name is not here.
var wellKnown = []string{
	"adobe.com", "airbnb.com", "alibaba.com", "amazon.co.jp", "amazon.co.uk", "amazon.com", "amazon.de", "amazon.fr",
	"americanexpress.com", "android.com", "apache.org", "apple.com", "archive.org", "arxiv.org", "bbc.co.uk",
	"bbc.com", "bing.com", "booking.com", "cnn.com", "debian.org", "dell.com", "dhl.com", "dhl.de", "ebay.co.uk",
	"ebay.com", "ebay.de", "europa.eu", "facebook.com", "facebookmail.com", "fedex.com", "fedoraproject.org",
	"freebsd.org", "gentoo.org", "github.com", "gitlab.com", "gmail.com", "gmx.de", "gmx.net", "gnome.org", "gnu.org",
	"google.co.uk", "google.com", "google.de", "googlemail.com", "gstatic.com", "hotmail.com", "hp.com", "ibm.com",
	"icloud.com", "ieee.org", "ietf.org", "imdb.com", "instagram.com", "intel.com", "intuit.com", "isc.org", "kde.org",
	"kernel.org", "launchpad.net", "lemonde.fr", "linkedin.com", "live.com", "me.com", "microsoft.com",
	"microsoftonline.com", "mozilla.org", "msn.com", "mysql.com", "nasa.gov", "netflix.com", "nytimes.com", "office.com",
	"openbsd.org", "openstreetmap.org", "opensuse.org", "oracle.com", "orange.fr", "outlook.com", "paypal.com",
	"paypal.de", "perl.org", "php.net", "pinterest.com", "postgresql.org", "python.org", "qq.com", "redhat.com",
	"reddit.com", "rust-lang.org", "skype.com", "slack.com", "spamhaus.org", "spiegel.de", "spotify.com",
	"stackexchange.com", "stackoverflow.com", "steampowered.com", "stripe.com", "t-online.de", "theguardian.com",
	"tiktok.com", "twitter.com", "ubuntu.com", "ups.com", "usps.com", "visa.com", "w3.org", "wa.me", "web.de", "whatsapp.com",
	"wikimedia.org", "wikipedia.org", "x.com", "xing.com", "yahoo.co.jp", "yahoo.com", "yandex.ru", "youtube.com",
	"zdf.de", "zoom.us",
}
