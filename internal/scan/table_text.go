package scan

import "github.com/gatepost/gatepost/internal/message"

// textRules are about what scams say.
var textRules = []rule{
	{Rule: Rule{"ADVANCE_FEE", "text", 5, "A stranger offers a share of much money, as in a well-known fraud."}, match: advanceFee},
	{Rule: Rule{"LEAKED_PASSWORD_SCAM", "text", 6, "Somebody threatens to publish something and wants coins to a certain address."}, match: extortionCoin},
	{Rule: Rule{"EXTORTION", "text", 2.5, "Somebody threatens to publish something."}, match: extortion},
	{Rule: Rule{"BITCOIN_ADDR", "text", 0, "The text holds an address of Bitcoin."}, fact: true, match: bitcoin},
	{Rule: Rule{"GIFT_CARD", "text", 3, "Somebody asks for vouchers as a favour."}, match: giftCard},
	{Rule: Rule{"CALLBACK", "text", 3, "A bill for what nobody ordered wants a call."}, match: callback},
	{Rule: Rule{"LOTTERY", "text", 3, "The reader is told of a prize."}, match: talk(message.Lottery, 3, 6)},
	{Rule: Rule{"ACCOUNT_THREAT", "text", 1, "The reader is told that an account needs him at once."}, match: talk(message.Account, 3, 6)},
	{Rule: Rule{"LOAN_OFFER", "text", 2, "A loan is offered to everybody."}, match: talk(message.Loan, 3, 6)},
	{Rule: Rule{"PITCH", "text", 2, "A stranger offers services or goods to a business."}, match: pitch},
	{Rule: Rule{"INTRODUCTION", "text", 1, "A stranger introduces himself."}, match: introduction},
	{Rule: Rule{"REMOVAL_TALK", "text", 2, "The text tells in the words of unasked-for mail how to get no more of it."}, match: talk(message.Removal, 2, 5)},
	{Rule: Rule{"SALES_TALK", "text", 2, "The text is made of what sellers shout."}, match: talk(message.Offer, 4, 10)},
	{Rule: Rule{"R_MIXED_CHARSET", "text", 2.5, "Words mix letters of scripts that no language mixes."}, match: mixedWords},
}
