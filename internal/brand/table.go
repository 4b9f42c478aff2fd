package brand

import "strings"

// lines are the brands: names by commas, a colon, and domains. The first name
// is the one that is shown; "~" in front of a name says that it is a common word.
// "label.*" means that label below the suffix of any country.
const lines = `
PayPal: paypal.com paypal.* paypal-communication.com paypalcorp.com xoom.com
Amazon, Amazon.com, Amazon.co.jp, Amazon Prime, アマゾン: amazon.com amazon.* amazonses.com amazonaws.com amazon-adsystem.com amazonbusiness.com amazon.dev
AWS, Amazon Web Services: amazon.com amazonaws.com aws.com amazonses.com awsevents.com awseducate.com
~Apple, Apple ID, iTunes, App Store, iCloud, Apple Pay, Find My iPhone: apple.com icloud.com me.com itunes.com apple.* apple-pay.com
Microsoft, Microsoft Office, Microsoft 365, Office 365, Office365, Microsoft Teams, OneDrive, SharePoint, Outlook Web, Microsoft Outlook, Hotmail Team: microsoft.com microsoftonline.com office.com office365.com outlook.com live.com sharepointonline.com sharepoint.com onmicrosoft.com xbox.com hotmail.com windows.com azure.com microsoft365.com microsoftsupport.com microsoft.* office.net
Xbox: microsoft.com xbox.com
Google, Gmail, Google Drive, Google Play, Google Pay, YouTube: google.com google.* youtube.com gmail.com googlemail.com android.com withgoogle.com blogger.com google-analytics.com
Facebook, Meta Business, Facebook Business: facebook.com facebookmail.com meta.com metamail.com fb.com support.facebook.com workplace.com
Instagram: instagram.com facebookmail.com meta.com
WhatsApp: whatsapp.com whatsapp.net facebookmail.com meta.com
LinkedIn: linkedin.com linkedin.*
Twitter: twitter.com x.com
TikTok: tiktok.com tiktokv.com bytedance.com tiktok-shop.com tiktokglobalshop.com
Netflix: netflix.com netflix.net
Spotify: spotify.com spotifymail.com
~Disney Plus, Disney+, DisneyPlus: disneyplus.com disney.com disneyonline.com
Dropbox: dropbox.com dropboxmail.com hellosign.com dropboxsign.com
DocuSign: docusign.com docusign.net docusign.*
Adobe, Adobe Sign, Acrobat Sign: adobe.com adobesign.com echosign.com adobe.net
WeTransfer: wetransfer.com
~Zoom, Zoom Video: zoom.us zoom.com zoomgov.com
~Slack: slack.com
GitHub: github.com githubapp.com
~GitLab: gitlab.com
GoDaddy: godaddy.com secureserver.net godaddy.*
~Norton, Norton LifeLock, NortonLifeLock: norton.com nortonlifelock.com symantec.com gendigital.com lifelock.com
McAfee: mcafee.com mcafee.*
Geek Squad, Best Buy: bestbuy.com geeksquad.com bestbuy.ca
eBay: ebay.com ebay.* ebaymail.com
AliExpress: aliexpress.com alibaba.com aliexpress.*
Alibaba, Alibaba.com: alibaba.com alibaba-inc.com aliexpress.com alibabacloud.com
Walmart: walmart.com walmart.ca walmartcontacts.com
Costco: costco.com costco.* online.costco.com
~Target: target.com
Booking.com: booking.com
Airbnb: airbnb.com airbnb.* airbnbmail.com
Expedia: expedia.com expediamail.com expedia.* expediagroup.com
~Uber, Uber Eats: uber.com
Coinbase: coinbase.com
Binance: binance.com binance.us binance.*
Kraken Exchange: kraken.com
MetaMask: metamask.io consensys.net consensys.io
Ledger Live, Ledger Wallet: ledger.com ledgerwallet.com
Trust Wallet: trustwallet.com
Blockchain.com, Blockchain Wallet: blockchain.com
Bitpanda: bitpanda.com
Revolut: revolut.com
~Wise Transfer, TransferWise: wise.com transferwise.com
Stripe: stripe.com
~Square, Cash App, CashApp: squareup.com square.com cash.app
Venmo: venmo.com paypal.com
Zelle: zellepay.com zelle.com
Western Union, WesternUnion: westernunion.com wu.com westernunion.*
MoneyGram: moneygram.com
Klarna: klarna.com klarna.*
~Visa: visa.com visa.*
MasterCard: mastercard.com mastercard.* mastercard.us
American Express, AmericanExpress, Amex: americanexpress.com aexp.com americanexpress.* amex.com
~Discover Card: discover.com
~Chase, Chase Bank, JPMorgan Chase, JP Morgan: chase.com jpmorgan.com jpmchase.com jpmorganchase.com
Bank of America, BankofAmerica: bankofamerica.com bofa.com ml.com
Wells Fargo, WellsFargo: wellsfargo.com wellsfargo.net
Citibank, Citi Bank, Citi Cards: citi.com citibank.com citibank.* citigroup.com
Capital One, CapitalOne: capitalone.com
US Bank, U.S. Bank: usbank.com
PNC Bank: pnc.com
TD Bank: td.com tdbank.com
HSBC: hsbc.com hsbc.* hsbc.com.hk
Barclays, Barclaycard: barclays.com barclays.co.uk barclaycard.co.uk barclaysus.com barclays.*
Lloyds Bank: lloydsbank.co.uk lloydsbank.com lloydsbanking.com
NatWest: natwest.com
~Halifax: halifax.co.uk
Nationwide Building Society: nationwide.co.uk
Santander: santander.com santander.* santandermail.com gruposantander.com
Royal Bank of Canada, RBC Royal Bank: rbc.com royalbank.com
Scotiabank: scotiabank.com
Interac: interac.ca payments.interac.ca
Commonwealth Bank, CommBank: cba.com.au commbank.com.au
Westpac: westpac.com.au westpac.co.nz
ANZ Bank: anz.com
Deutsche Bank: db.com deutsche-bank.de deutschebank.*
Commerzbank: commerzbank.de commerzbank.com
Postbank: postbank.de
Sparkasse: sparkasse.de dsv-gruppe.de sparkassen-finanzportal.de sparkassenversicherung.de
Volksbank, Volksbanken Raiffeisenbanken: volksbank.de vr.de volksbank.* fiduciagad.de atruvia.de
~ING, ING DiBa: ing.com ing.* ing-diba.de
DKB: dkb.de
Comdirect: comdirect.de
N26: n26.com
Crédit Agricole: credit-agricole.fr
BNP Paribas: bnpparibas.com bnpparibas.fr bnpparibas.* bnpparibas.net
Société Générale: socgen.com societegenerale.fr societegenerale.com
La Banque Postale: labanquepostale.fr
Intesa Sanpaolo: intesasanpaolo.com
UniCredit: unicredit.eu unicredit.it unicredit.*
Poste Italiane, PosteItaliane, BancoPosta: poste.it posteitaliane.it
BBVA: bbva.com bbva.*
CaixaBank: caixabank.com caixabank.es lacaixa.es
Banco do Brasil: bb.com.br
Bradesco: bradesco.com.br bradesco.com
Itaú Unibanco, Banco Itaú: itau.com.br itau-unibanco.com.br itau.com
Nubank: nubank.com.br
Mercado Libre, Mercado Pago, MercadoLibre, MercadoPago: mercadolibre.com mercadolibre.* mercadopago.com mercadopago.* mercadolivre.com.br
Rabobank: rabobank.nl rabobank.com
ABN AMRO: abnamro.nl abnamro.com
PostFinance: postfinance.ch
UBS: ubs.com
Credit Suisse: credit-suisse.com
Raiffeisen Bank: raiffeisen.* rbinternational.com raiffeisenbank.*
Sberbank, Сбербанк: sberbank.ru sber.ru sberbank.com
PKO Bank Polski: pkobp.pl
mBank: mbank.pl mbank.com mbank.*
State Bank of India: sbi.co.in
HDFC Bank: hdfcbank.com hdfcbank.net hdfcbank.bank.in
ICICI Bank: icicibank.com icicibank.bank.in
SMBC, 三井住友カード, 三井住友銀行, 三井住友: smbc-card.com smbc.co.jp vpass.ne.jp contact.vpass.ne.jp smfg.co.jp
JCB, MyJCB, JCBカード: jcb.co.jp jcb.jp jcbeurope.eu jcbusa.com
Rakuten, 楽天, 楽天市場, 楽天カード, 楽天銀行: rakuten.co.jp rakuten.com rakuten-card.co.jp rakuten-bank.co.jp rakuten.ne.jp rakuten-sec.co.jp rakuten.*
AEON Card, イオンカード, イオン銀行, イオンクレジットサービス: aeon.co.jp aeon.com aeonbank.co.jp aeonsmarket.com
えきねっと: eki-net.com jreast.co.jp
ETC利用照会サービス, ETC meisai: etc-meisai.jp etc-user.jp
NHK, 日本放送協会: nhk.or.jp nhk.jp
日本郵便, ゆうちょ銀行: japanpost.jp jp-bank.japanpost.jp post.japanpost.jp
メルカリ, Mercari: mercari.jp mercari.com
PayPayカード, PayPay銀行, PayPay: paypay.ne.jp paypay-card.co.jp paypay-bank.co.jp paypay-sec.co.jp
三菱UFJ, MUFG: mufg.jp bk.mufg.jp cr.mufg.jp mufg.com
みずほ銀行, Mizuho Bank: mizuhobank.co.jp mizuho-fg.co.jp mizuhogroup.com
ヤマト運輸, クロネコヤマト: kuronekoyamato.co.jp yamato.co.jp
佐川急便: sagawa-exp.co.jp
UCカード, セゾンカード, Saison Card: saisoncard.co.jp uccard.co.jp
DHL, DHL Express: dhl.com dhl.de dhl.* deutschepost.de dpdhl.com
FedEx: fedex.com fedex.*
UPS, United Parcel Service: ups.com
USPS, United States Postal Service, US Postal Service: usps.com usps.gov informeddelivery.usps.com
Royal Mail: royalmail.com
Evri, Hermes Parcel: evri.com myhermes.co.uk hermesworld.com
DPD: dpd.com dpd.de dpd.co.uk dpd.fr dpdgroup.com dpd.*
GLS Group, GLS Parcel: gls-group.com gls-group.eu gls-pakete.de
Deutsche Post: deutschepost.de dhl.de dpdhl.com dhl.com
Chronopost, Colissimo, La Poste: chronopost.fr laposte.fr laposte.net laposte.info colissimo.fr
Correos: correos.es correos.com
PostNL: postnl.nl postnl.be
Bpost: bpost.be
Swiss Post, Die Schweizerische Post: post.ch swisspost.ch
PostNord: postnord.com postnord.se postnord.dk postnord.*
Australia Post, AusPost: auspost.com.au
Canada Post: canadapost.ca canadapost-postescanada.ca
Maersk: maersk.com
AT&T: att.com att.net att-mail.com
Verizon: verizon.com verizonwireless.com verizon.net
T-Mobile: t-mobile.com t-mobile.* telekom.de
Comcast, Xfinity: comcast.com xfinity.com comcast.net
Vodafone: vodafone.com vodafone.*
Deutsche Telekom, Telekom Deutschland: telekom.de t-online.de telekom.com
Ionos: ionos.com ionos.* 1und1.de
Strato AG: strato.de strato.com
OVHcloud: ovh.com ovh.net ovhcloud.com ovh.*
Internal Revenue Service, IRS: irs.gov
HM Revenue & Customs, HMRC: hmrc.gov.uk tax.service.gov.uk notifications.service.gov.uk
Social Security Administration: ssa.gov
DVLA: dvla.gov.uk service.gov.uk
Agencia Tributaria: agenciatributaria.gob.es agenciatributaria.es gob.es
Finanzamt, ELSTER Portal: elster.de bund.de
Ameli, Assurance Maladie: ameli.fr assurance-maladie.fr
Impots.gouv: dgfip.finances.gouv.fr impots.gouv.fr finances.gouv.fr
Europol: europol.europa.eu
Interpol: interpol.int
World Health Organization: who.int
United Nations: un.org unicef.org undp.org unhcr.org
Louis Vuitton: louisvuitton.com
Ray-Ban, RayBan: ray-ban.com luxottica.com
Rolex: rolex.com
Steam Support, Steam Guard: steampowered.com valvesoftware.com
PlayStation: playstation.com sony.com playstationemail.com playstation.net
Roblox: roblox.com
Epic Games: epicgames.com
Discord: discord.com discordapp.com
Telegram Messenger: telegram.org
Proton Mail, ProtonMail: proton.me protonmail.com
Yahoo, Yahoo Mail: yahoo.com yahoo-inc.com yahooinc.com yahoo.* oath.com
Roundcube: roundcube.net
cPanel: cpanel.net cpanel.com webpros.com
Intuit, QuickBooks, TurboTax: intuit.com quickbooks.com turbotax.com
Shopify: shopify.com
WordPress: wordpress.com wordpress.org automattic.com
Mailchimp: mailchimp.com intuit.com
Xerox: xerox.com
Cisco Webex, Webex: webex.com cisco.com
State Farm: statefarm.com
Home Depot, The Home Depot: homedepot.com
Lowe's: lowes.com
Starbucks: starbucks.com
IKEA: ikea.com ikea.*
Lidl: lidl.com lidl.*
Aldi: aldi.com aldi.* aldi-sued.de aldi-nord.de
Samsung: samsung.com samsung.*
Sony: sony.com sony.*
Trezor: trezor.io satoshilabs.com
`

// table holds the brands of lines.
var table = func() []Brand {
	var t []Brand
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		names, domains, _ := strings.Cut(strings.TrimSpace(line), ": ")
		b := Brand{domains: strings.Fields(domains)}
		for n := range strings.SplitSeq(names, ", ") {
			n, common := strings.CutPrefix(n, "~")
			if b.Name == "" {
				b.Name = n
			}
			b.names = append(b.names, name{words: split(n), common: common})
		}
		t = append(t, b)
	}
	return t
}()
