package freemail

import "strings"

// free are the domains of mailboxes without a fee.
const free = `
gmail.com googlemail.com
outlook.com outlook.de outlook.fr outlook.es outlook.it outlook.jp outlook.be outlook.dk outlook.ie outlook.pt
outlook.at outlook.in outlook.sa outlook.cl outlook.co.th outlook.com.ar outlook.com.au outlook.com.br outlook.com.tr
outlook.com.vn outlook.co.id outlook.cz outlook.hu outlook.kr outlook.lv outlook.my outlook.ph outlook.sg outlook.sk
hotmail.com hotmail.co.uk hotmail.fr hotmail.de hotmail.it hotmail.es hotmail.be hotmail.nl hotmail.ca hotmail.se
hotmail.no hotmail.dk hotmail.fi hotmail.ch hotmail.at hotmail.com.ar hotmail.com.br hotmail.com.au hotmail.com.mx
hotmail.com.tr hotmail.co.jp hotmail.co.th hotmail.co.nz hotmail.co.za hotmail.cl hotmail.gr hotmail.hu hotmail.rs
live.com live.co.uk live.fr live.de live.it live.nl live.be live.ca live.se live.no live.dk live.at live.jp live.cn
live.com.au live.com.ar live.com.mx live.com.pt live.com.sg live.cl live.ie live.in live.ru live.co.za
msn.com passport.com windowslive.com
yahoo.com yahoo.co.uk yahoo.fr yahoo.de yahoo.it yahoo.es yahoo.ca yahoo.in yahoo.co.in yahoo.co.jp yahoo.co.id
yahoo.co.nz yahoo.co.th yahoo.co.kr yahoo.co.za yahoo.com.ar yahoo.com.au yahoo.com.br yahoo.com.cn yahoo.cn
yahoo.com.co yahoo.com.hk yahoo.com.mx yahoo.com.my yahoo.com.pe yahoo.com.ph yahoo.com.sg yahoo.com.tr yahoo.com.tw
yahoo.com.ve yahoo.com.vn yahoo.dk yahoo.gr yahoo.ie yahoo.no yahoo.pl yahoo.pt yahoo.ro yahoo.se yahoo.be yahoo.at
yahoo.ch yahoo.cl yahoo.cz yahoo.fi yahoo.hu yahoo.nl ymail.com rocketmail.com myyahoo.com
aol.com aol.co.uk aol.de aol.fr aim.com netscape.net verizon.net
icloud.com me.com mac.com
gmx.de gmx.net gmx.at gmx.ch gmx.com gmx.co.uk gmx.us gmx.fr gmx.es gmx.info gmx.org gmx.biz gmx.eu web.de
mail.com email.com usa.com post.com europe.com asia.com myself.com consultant.com accountant.com engineer.com
lawyer.com doctor.com dr.com techie.com iname.com writeme.com cheerful.com execs.com financier.com diplomats.com
representative.com minister.com presidency.com contractor.net workmail.com mail-me.com chef.net activist.com
adexec.com africamail.com americamail.com bankersmail.com bartender.net brew-meister.com cash4u.com catlover.com
chemist.com clerk.com collector.org columnist.com comic.com computer4u.com counsellor.com deliveryman.com dutchmail.com
englandmail.com fastservice.com germanymail.com graduate.org hairdresser.net homemail.com irelandmail.com israelmail.com
italymail.com job4u.com journalist.com koreamail.com legislator.com lobbyist.com london.com loveable.com mad.scientist.com
munich.com net-shopping.com optician.com pediatrician.com photographer.net physicist.net planetmail.com politician.com
priest.com programmer.net publicist.com radiologist.net realtyagent.com reborn.com rescueteam.com safrica.com
sanfranmail.com secretary.net socialworker.net solution4u.com swissmail.com teachers.org technologist.com therapist.net
toke.com toothfairy.com tvstar.com umpire.com unforgettable.com uymail.com
mail.ru inbox.ru list.ru bk.ru internet.ru xmail.ru vk.com yandex.ru yandex.com yandex.by yandex.kz yandex.ua ya.ru
rambler.ru lenta.ru autorambler.ru myrambler.ru ro.ru ukr.net i.ua meta.ua bigmir.net tut.by
qq.com foxmail.com vip.qq.com 163.com 126.com yeah.net vip.163.com vip.126.com 188.com netease.com sina.com sina.cn
vip.sina.com sohu.com vip.sohu.com 139.com 189.cn 21cn.com tom.com 263.net aliyun.com wo.cn
naver.com daum.net hanmail.net nate.com rediffmail.com in.com sify.com indiatimes.com
proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tutamail.com tuta.io tuta.com keemail.me
zoho.com zohomail.com zohomail.eu zohomail.in fastmail.com fastmail.fm hushmail.com hush.com mailfence.com disroot.org
riseup.net posteo.de mailbox.org startmail.com runbox.com countermail.com inbox.com inbox.lv gawab.com
lycos.com lycos.de lycos.co.uk excite.com excite.co.jp juno.com netzero.net netzero.com eudoramail.com bigfoot.com
mailcity.com usa.net caramail.com altavista.com angelfire.com hotbot.com
libero.it virgilio.it tiscali.it alice.it tin.it email.it inwind.it iol.it poste.it blu.it fastwebnet.it
laposte.net orange.fr wanadoo.fr free.fr sfr.fr neuf.fr club-internet.fr numericable.fr bbox.fr aliceadsl.fr voila.fr
t-online.de freenet.de arcor.de online.de email.de
terra.com.br uol.com.br bol.com.br ig.com.br globo.com globomail.com zipmail.com.br oi.com.br r7.com
wp.pl o2.pl tlen.pl onet.pl op.pl onet.eu interia.pl poczta.onet.pl poczta.fm vp.pl gazeta.pl interia.eu go2.pl
seznam.cz email.cz post.cz centrum.cz atlas.cz volny.cz centrum.sk azet.sk zoznam.sk post.sk
abv.bg mail.bg dir.bg freemail.hu citromail.hu vipmail.hu
telefonica.net ono.com telepolis.com sapo.pt clix.pt iol.pt mail.pt
btinternet.com ntlworld.com virginmedia.com sky.com talktalk.net blueyonder.co.uk tiscali.co.uk
comcast.net att.net sbcglobal.net bellsouth.net charter.net cox.net earthlink.net rogers.com shaw.ca sympatico.ca
bigpond.com optusnet.com.au telenet.be skynet.be ziggo.nl planet.nl hetnet.nl home.nl kpnmail.nl chello.nl xs4all.nl
bluewin.ch hispeed.ch telia.com spray.se online.no luukku.com suomi24.fi
walla.com walla.co.il mynet.com hotmail.co.il maktoob.com
mail2world.com mail2london.com opayq.com
docomo.ne.jp ezweb.ne.jp softbank.ne.jp i.softbank.jp
lavabit.com mail.ee hot.ee one.lt delfi.lt`

// throwaway are the domains of mailboxes for minutes.
const throwaway = `
10minutemail.com 10minutemail.net 10minmail.de 20minutemail.com 33mail.com anonbox.net anonaddy.me bccto.me
burnermail.io byom.de cock.li crazymailing.com deadaddress.com despam.it discard.email discardmail.com discardmail.de
dispostable.com dropmail.me easytrashmail.com einrot.com emailfake.com emailondeck.com emailsensei.com emailtemporanea.com
ethereal.email fakeinbox.com fakemail.net fakemailgenerator.com filzmail.com getairmail.com getnada.com grr.la guerrillamail.biz
guerrillamail.com guerrillamail.de guerrillamail.info guerrillamail.net guerrillamail.org guerrillamailblock.com harakirimail.com
incognitomail.org inboxbear.com inboxkitten.com jetable.org kasmail.com linshiyouxiang.net mail-temp.com mailcatch.com
maildrop.cc maileater.com mailexpire.com mailforspam.com mailimate.com mailinator.com mailinator.net mailinator2.com
mailmoat.com mailnesia.com mailnull.com mailpoof.com mailsac.com mailtemp.info mailtothis.com minuteinbox.com mintemail.com
mohmal.com moakt.com mt2015.com mytemp.email mytrashmail.com nada.email nomail.xl.cx nowmymail.com objectmail.com onemail.host
owlymail.com pokemail.net sharklasers.com shortmail.net sneakemail.com sogetthis.com spam4.me spambog.com spambox.us
spamavert.com spamdecoy.net spamex.com spamgourmet.com spamhereplease.com spamhole.com spaml.com tempail.com tempemail.net
tempinbox.com tempmail.com tempmail.de tempmail.net tempmail.plus tempmailo.com tempr.email temp-mail.io temp-mail.org
tempomail.fr thankyou2010.com throwam.com throwawaymail.com tmail.ws tmpmail.net tmpmail.org trash-mail.com trash-mail.de
trashmail.com trashmail.de trashmail.net trashmail.ws trbvm.com wegwerfmail.de wegwerfmail.net wegwerfmail.org yopmail.com
yopmail.fr yopmail.net zetmail.com 1secmail.com 1secmail.net 1secmail.org vusra.com wwjmp.com esiix.com xojxe.com yoggm.com`

// proving are the domains all of whose mail is signed by their provider.
const proving = `gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com rocketmail.com
aol.com icloud.com me.com mac.com gmx.de gmx.net web.de mail.ru yandex.ru yandex.com proton.me protonmail.com zoho.com
fastmail.com qq.com naver.com seznam.cz comcast.net`

// table has the kind of each domain.
var table = func() map[string]Kind {
	t := map[string]Kind{}
	for d := range strings.FieldsSeq(free) {
		t[d] = Free
	}
	for d := range strings.FieldsSeq(throwaway) {
		t[d] = Disposable
	}
	return t
}()

var proves = func() map[string]bool {
	t := map[string]bool{}
	for d := range strings.FieldsSeq(proving) {
		t[d] = true
	}
	return t
}()

// providers has the name of a provider by domain, or by the first label and
// ".*" for all domains of the tables that begin with it.
var providers = map[string]string{
	"gmail.com": "Google", "googlemail.com": "Google",
	"outlook.*": "Microsoft", "hotmail.*": "Microsoft", "live.*": "Microsoft", "msn.*": "Microsoft",
	"windowslive.*": "Microsoft", "passport.*": "Microsoft",
	"yahoo.*": "Yahoo", "ymail.*": "Yahoo", "rocketmail.*": "Yahoo", "myyahoo.*": "Yahoo", "aol.*": "Yahoo", "aim.*": "Yahoo",
	"icloud.*": "Apple", "me.com": "Apple", "mac.com": "Apple",
	"gmx.*": "GMX", "web.de": "GMX", "mail.com": "GMX",
	"proton.*": "Proton", "protonmail.*": "Proton", "pm.*": "Proton",
	"qq.com": "Tencent", "foxmail.com": "Tencent",
	"163.com": "NetEase", "126.com": "NetEase", "yeah.net": "NetEase", "188.com": "NetEase",
	"yandex.*": "Yandex", "ya.*": "Yandex",
	"bk.ru": "VK", "list.ru": "VK", "inbox.ru": "VK", "mail.ru": "VK", "internet.ru": "VK",
}
