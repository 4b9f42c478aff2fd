package link

import "strings"

// Service says what kind of place a host is, as far as it matters to a filter.
type Service uint8

// The services.
const (
	// Unknown is any other place.
	Unknown Service = iota
	// Shortener hides where a link leads.
	Shortener
	// Redirector is a page of a great site that leads anywhere.
	Redirector
	// FileHost holds files of anybody.
	FileHost
	// FreeSite holds pages that anybody makes in a minute.
	FreeSite
	// IPFS serves content that nobody can take down.
	IPFS
	// Storage is a bucket of a cloud that serves pages.
	Storage
	// Messenger leads to a chat: t.me, wa.me.
	Messenger
)

var services = func() map[string]Service {
	m := map[string]Service{}
	for s, names := range map[Service]string{
		Shortener: "bit.ly bitly.com tinyurl.com t.co goo.gl ow.ly is.gd v.gd buff.ly rebrand.ly cutt.ly tiny.cc t.ly rb.gy " +
			"s.id shorturl.at shorturl.asia shrtco.de bl.ink adf.ly ouo.io bc.vc soo.gd clck.ru u.to vk.cc qr.ae " +
			"trib.al snip.ly short.io tr.im su.pr x.co po.st mcaf.ee urlz.fr urlzs.com tinu.be lc.chat gg.gg n9.cl " +
			"2.gy 1url.com shorte.st qrco.de me-qr.com me2.kr han.gl url.kr reurl.cc lihi.cc ppt.cc 0rz.tw dwz.cn " +
			"t.cn suo.im urly.it kutt.it yourls.org tny.im chilp.it zpr.io l1nq.com is.gy acortar.link encurtador.com.br " +
			"bitlylink.com goo.su surl.li surl.lu da.gd ulvis.net shorturl.gg t2m.io tinylink.net",
		FileHost: "mega.nz mediafire.com wetransfer.com we.tl sendspace.com anonfiles.com gofile.io file.io transfer.sh dropmefiles.com " +
			"zippyshare.com 4shared.com uploaded.net catbox.moe temp.sh filebin.net transfernow.net smash.gg fromsmash.com sendgb.com",
		FreeSite: "weebly.com weeblysite.com wixsite.com wix.com sites.google.com webflow.io square.site godaddysites.com " +
			"000webhostapp.com netlify.app vercel.app pages.dev workers.dev r2.dev glitch.me repl.co replit.app " +
			"firebaseapp.com web.app herokuapp.com onrender.com surge.sh carrd.co strikingly.com yolasite.com webnode.page jimdosite.com " +
			"typeform.com jotform.com formstack.com notion.site canva.site framer.app mystrikingly.com " +
			"azurewebsites.net azurestaticapps.net trycloudflare.com ngrok.io ngrok-free.app ngrok.app duckdns.org no-ip.org ddns.net",
		IPFS: "ipfs.io dweb.link cloudflare-ipfs.com cf-ipfs.com ipfs.dweb.link nftstorage.link w3s.link fleek.co infura-ipfs.io " +
			"gateway.pinata.cloud 4everland.io ipfs.fleek.co hardbin.com",
		Storage: "storage.googleapis.com firebasestorage.googleapis.com s3.amazonaws.com web.core.windows.net blob.core.windows.net " +
			"digitaloceanspaces.com backblazeb2.com linodeobjects.com objects.dev wasabisys.com storageapi.fleek.co oraclecloud.com",
		Messenger: "t.me telegram.me wa.me api.whatsapp.com chat.whatsapp.com line.me signal.me",
	} {
		for name := range strings.FieldsSeq(names) {
			m[name] = s
		}
	}
	return m
}()

// Service returns what kind of place u leads to.
func (u *URL) Service() Service {
	if !u.Web() {
		return Unknown
	}
	if u.ipfs() {
		return IPFS
	}
	if u.redirector() {
		return Redirector
	}
	for h := u.Host; ; {
		if s, ok := services[h]; ok && (s != Shortener || strings.TrimPrefix(u.Host, "www.") == h) {
			return s
		}
		_, rest, ok := strings.Cut(h, ".")
		if !ok || strings.IndexByte(rest, '.') < 0 {
			return Unknown
		}
		h = rest
	}
}

// ipfs knows content identifiers (multibase, CID versions 0 and 1) in the path
// or as the first label, at whatever gateway.
func (u *URL) ipfs() bool {
	if i := strings.Index(u.Path, "/ipfs/"); i >= 0 && contentID(u.Path[i+6:]) {
		return true
	}
	first, rest, _ := strings.Cut(u.Host, ".")
	return strings.HasPrefix(rest, "ipfs.") && contentID(first)
}

func contentID(s string) bool {
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n == 46 && strings.HasPrefix(s, "Qm") || n >= 50 && (strings.HasPrefix(s, "baf") || strings.HasPrefix(s, "k51"))
}

// openRedirects are pages of well-known sites that lead wherever their query
// says: paths, by registered label.
var openRedirects = map[string][]string{
	"google": {"/url?", "/amp/"}, "googleadservices": {"/pagead/"}, "doubleclick": {"/ddm/clk", "/pcs/click"},
	"bing": {"/ck/a"}, "youtube": {"/redirect?"}, "facebook": {"/l.php?", "/flx/warn"}, "linkedin": {"/slink?", "/redir"},
	"yahoo": {"/*http"}, "baidu": {"/link?"}, "vk": {"/away.php"}, "instagram": {"/?u="}, "steamcommunity": {"/linkfilter"},
}

// redirector looks for labels of the host in the table before it finds out which
// of them is the registered one, which costs more.
func (u *URL) redirector() bool {
	if len(u.Path) < 4 {
		return false
	}
	for label := range strings.SplitSeq(u.Host, ".") {
		for _, path := range openRedirects[label] {
			if strings.Contains(u.Path, path) && Label(u.Host) == label {
				return true
			}
		}
	}
	return false
}
