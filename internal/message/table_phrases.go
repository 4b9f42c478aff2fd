package message

// Topic is something that scams and unasked-for mail talk about.
type Topic uint8

// The topics.
const (
	// AdvanceFee promises money to whom helps to move it.
	AdvanceFee Topic = iota
	// Extortion threatens to publish something.
	Extortion
	// GiftCard asks for vouchers as a favour.
	GiftCard
	// Callback bills for what nobody bought and wants a call.
	Callback
	// Introduction presents a stranger.
	Introduction
	// Lottery tells of a prize.
	Lottery
	// Account threatens the loss of an account.
	Account
	// Removal tells how not to get the next one, which mail that was asked for
	// says in other words.
	Removal
	// Offer praises what is sold.
	Offer
	// Pitch offers services to the owner of a web site.
	Pitch
	// Loan lends to anybody.
	Loan
	// Topics is how many there are.
	Topics
)

// phrases are what mail of each topic says, in English, German, French,
// Spanish and Italian: in lower case, without accents and apostrophes, as
// normalised words stand in Said. Words that honest mail about the same matter
// uses alone are not here.
var phrases = map[Topic]string{
	AdvanceFee: `next of kin|million us dollars|million united states dollars|million dollars|transfer of the fund|transfer the fund|
		transfer of this fund|transfer this money|foreign partner|foreign account|late husband|late father|deceased customer|deceased client|
		strictly confidential|strict confidence|business proposal|business proposition|mutual benefit|unclaimed fund|inheritance fund|
		consignment box|trunk box|atm card|compensation fund|contract payment|overdue payment|security company|bank of nigeria|central bank of|
		federal ministry|lagos nigeria|abidjan|cote divoire|sierra leone|cotonou|burkina faso|barrister|god fearing|charity donation|
		died in a plane crash|plane crash|your full name and address|private telephone|direct telephone number|trustworthy|
		percentage of the|for your assistance|urgent response|your urgent reply|dying of cancer|cancer of the|humanitarian|
		investment partner|over invoiced|diplomatic|risk free transaction|percent of the total|wire transfer of|donate to you|donation of|
		naechsten angehoerigen|verstorbenen kunden|million us dollar|millionen us dollar|millionen euro|vertrauliche|geschaeftsvorschlag|
		beau pere|defunt mari|ma defunte|dons de|millions de dollars|millions deuros|proposition daffaires|strictement confidentiel|
		millones de dolares|millones de euros|propuesta de negocio|pariente mas cercano|herencia|milioni di dollari|proposta di affari|eredita`,
	Extortion: `i recorded you|recorded a video|recorded you|your webcam|your camera|your front camera|adult site|adult sites|adult website|porn|
		satisfying yourself|pleasuring yourself|masturbating|masturbation|i hacked|was hacked|have been hacked|your device was infected|
		infected with my|my malware|rat software|remote access trojan|remote desktop|keylogger|your password is|know your password|
		one of your passwords|all your contacts|your contacts|your relatives|friends and family|48 hours|50 hours|72 hours to pay|
		bitcoin wallet|bitcoin address|btc wallet|btc address|send the bitcoin|in bitcoin|worth of bitcoin|transfer bitcoin|
		make the payment|i will delete|will be destroyed|do not try to contact|no one will ever know|dont try to|your secret|
		dein passwort|ihr passwort lautet|ihre webcam|ihre kamera|kontakte schicken|bitcoin adresse|bitcoin wallets|erotikseite|pornoseite|selbstbefriedigung|
		ton mot de passe|votre webcam|votre camera|site pour adultes|adresse bitcoin|tous vos contacts|tu contrasena|su contrasena|tu camara|
		sitio para adultos|billetera bitcoin|billetera de bitcoin|direccion de bitcoin|todos tus contactos|masturbandote`,
	GiftCard: `gift card|gift cards|itunes card|itunes cards|google play card|google play cards|steam card|steam cards|apple card|ebay card|
		amazon card|scratch the|scratch off|pictures of the cards|back of the card|quick task|quick favor|quick favour|are you available|
		are you at your desk|at your desk|are you in the office|in a meeting|cant talk|cannot talk|reimburse you|will reimburse|
		your cell number|your personal number|your mobile number|get this done|a surprise for|keep this between|
		gutscheinkarte|gutscheinkarten|geschenkkarte|geschenkkarten|rubbel|kannst du sprechen|sind sie verfuegbar|bist du verfuegbar|
		carte cadeau|cartes cadeaux|es tu disponible|etes vous disponible|tarjeta de regalo|tarjetas de regalo|estas disponible|esta disponible`,
	Callback: `did not make this|did not authorize|didnt authorize|if you did not place|not authorized this|to cancel the|to cancel this|
		to cancel your|cancel the subscription|cancel your subscription|auto renewal|auto renew|automatically renewed|has been renewed|
		renewal of your|will be debited|has been debited|has been charged|will be charged|amount will be|from your account within|
		call us|call our|helpline|toll free|customer support number|customer care|our support team at|billing department|refund department|
		get a full refund|for a refund|within 24 hours|geek squad|norton|mcafee|invoice number|your order has been|transaction id|
		thank you for your purchase|thank you for your order|rufen sie|kundenhotline|stornieren|abgebucht|appelez nous|appelez le|
		sera debite|renouvellement|service client|llame al|llamenos|sera cargado|renovacion|cancelar su`,
	Introduction: `my name is|i am mr|i am mrs|i am miss|i am dr|im mr|im mrs|i am barrister|i am engineer|this is mr|introduce myself|
		i am the daughter|i am the son|i am the widow|i am the wife|i am a widow|i am writing you|dear friend|dear sir madam|dear beloved|
		hello dear|my dear|good day|compliments of the season|greetings to you|i got your contact|got your email|your contact from|
		i am contacting you|i saw your profile|mein name ist|ich bin frau|ich bin herr|lieber freund|je mappelle|je suis mme|je suis madame|
		cher ami|mi nombre es|me llamo|soy la senora|estimado amigo|querido amigo|mi chiamo|sono la signora|caro amico`,
	Lottery: `you have won|you won|winning number|winning numbers|winning ticket|lottery|lotto|lucky winner|lucky winners|claim your prize|
		claim your|claims agent|batch number|ticket number|reference number|promotion|prize award|award notification|winning notification|
		selected winner|congratulations you|your email address won|email lottery|sweepstakes|sie haben gewonnen|gewinnbenachrichtigung|
		gewinnsumme|vous avez gagne|loterie|heureux gagnant|ha ganado|loteria|numero ganador|premio|hai vinto|lotteria`,
	Account: `verify your account|verify your identity|verify your information|confirm your account|confirm your identity|confirm your information|
		update your account|update your information|update your payment|update your billing|account has been suspended|account has been limited|
		account will be suspended|account will be closed|account suspension|account is suspended|account has been locked|limited your account|
		unusual activity|suspicious activity|unusual sign in|unauthorized access|security alert|restore your account|restore access|
		reactivate your|mailbox is full|mailbox is almost full|mailbox quota|quota exceeded|exceeded your|storage limit|upgrade your mailbox|
		your mailbox|webmail|email administrator|helpdesk|help desk|your password will expire|password expires|password expiration|
		keep same password|keep my password|pending messages|undelivered messages|deactivated|dear customer|dear user|dear client|
		dear account|valued customer|valued member|failure to do so|within 24 hours|within 48 hours|click here to verify|log in to your|
		login to your|konto wurde|konto gesperrt|ihr konto|bestaetigen sie|verifizieren|sehr geehrter kunde|sicherheitsgruenden|
		votre compte|verifier votre|confirmer votre|cher client|compte sera|su cuenta|verifique su|confirme su|estimado cliente|
		cuenta ha sido|il tuo account|il suo conto|gentile cliente|verifica il`,
	Removal: `to be removed|removed from our|removed from this|remove in the subject|the word remove|with remove in|
		for removal|remove yourself|remove your email|remove your address|not wish to receive|do not wish|dont wish to|dont want to receive|
		no longer wish|wish to be removed|our mailings|future mailings|future emails|receive further|further mailings|our mailing list|
		this is not spam|not a spam|one time mailing|one time email|you have opted|opted in|opt out|opt in list|
		receiving this email because|received this email because|receiving this message because|we apologize|apologize for any|
		in compliance with|your email address was obtained|this advertisement|bulk email|reply with remove|previously unsubscribed|
		our database|se hai ricevuto questa|essere cancellato|cancellarti|darse de baja|de baja|no desea recibir|ser removido|
		aus dem verteiler|nicht mehr erhalten|ne plus recevoir|vous desinscrire|stop receiving|link to stop`,
	Offer: `order now|act now|click here|please click|money back|money back guarantee|satisfaction guaranteed|100 guaranteed|no risk|risk free|
		free trial|free sample|free quote|absolutely free|for free|no obligation|no cost|at no cost|limited time|special offer|best price|
		lowest price|lowest prices|low as|as low as|save up|save up to|you can save|less than perfect|as seen on|all natural|lose weight|
		weight loss|viagra|cialis|levitra|pharmacy|prescription|no prescription|erection|enlargement|penis|male enhancement|
		herbal|anti aging|hgh|work from home|work at home|home based|extra income|extra cash|earn money|make money|financial freedom|
		get paid|per week|per month|debt consolidation|out of debt|refinance|mortgage rates|life insurance|interest rates|
		million email|email addresses|bulk|targeted|fill out the|toner|replica|rolex|watches|casino|jackpot|dating|singles|
		hot girls|sexy|xxx|nude|teens|diploma|university degrees|cheap software|oem software|stock alert|strong buy|penny stock|
		price target|investors|preventivo|soddisfatti o rimborsati|offerta|sconto|oferta|descuento|sin costo|compre|promocion|capacitacion|
		kostenlos|angebot|gratis|rabatt|offre speciale|gratuit`,
	Pitch: `search engine optimization|seo services|seo company|seo expert|seo package|first page of google|page of google|google ranking|
		rank your website|ranking of your|your website|website design|web design|web development|website development|redesign your|
		mobile app|app development|backlinks|link building|guest post|guest posting|sponsored post|digital marketing|social media marketing|
		lead generation|email list|contact list|attendees list|decision makers|we are a leading|leading manufacturer|professional manufacturer|
		manufacturer of|manufacturer in|factory in china|factory price|competitive price|our products|our factory|best quality|
		hope you are doing well|hope this email finds|finds you well|quick question|quick call|interested in our|send you a quote|
		price list|let me know if you are interested|would you be interested|looking forward to your|offshore|outsourcing`,
	Loan: `loan offer|apply for a loan|apply for loan|personal loan|personal loans|business loan|business loans|loans at|loan at|interest rate of|
		3 interest|2 interest|loan amount|amount needed|loan company|loan lender|lender|private lender|genuine loan|unsecured loan|
		do you need a loan|need a loan|financial assistance|bad credit|kredit angebot|kreditangebot|darlehen|pret entre particuliers|
		offre de pret|prestamo|oferta de prestamo|prestito|consolidation|project funding|bank guarantee|sblc`,
}
