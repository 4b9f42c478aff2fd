package scan

// htmlRules are about what HTML hides and asks for.
var htmlRules = []rule{
	{Rule: Rule{"HTML_ONLY_SHORT", "mime", 2, "There is hardly any text, only HTML with a picture or a link."}, match: htmlOnlyShort},
	{Rule: Rule{"R_WHITE_ON_WHITE", "html", 3, "Text has the colour of what is behind it."}, match: whiteOnWhite},
	{Rule: Rule{"ZERO_FONT", "html", 2, "Text has letters of no size."}, match: zeroFont},
	{Rule: Rule{"HIDDEN_TEXT", "html", 1.5, "Much of the text is hidden from readers."}, match: hiddenText},
	{Rule: Rule{"ZERO_WIDTH_TEXT", "html", 2.5, "Words are cut up by characters that nobody sees."}, match: zeroWidth},
	{Rule: Rule{"R_SUSPICIOUS_IMAGES", "html", 1.5, "Pictures that are links take much more room than the text."}, match: suspiciousImages},
	{Rule: Rule{"R_EMPTY_IMAGE", "html", 1.5, "There is a picture and next to no text."}, match: emptyImage},
	{Rule: Rule{"HTML_SHORT_LINK_IMG", "html", 1, "A short page holds little but a picture with a link."}, match: shortLinkedImage},
	{Rule: Rule{"HTML_META_REFRESH_URL", "html", 4, "The page sends the reader elsewhere by itself."}, match: metaRefresh},
	{Rule: Rule{"DATA_URI_OBFU", "html", 3, "A link holds a page of its own, so that no filter sees its address."}, match: dataPages},
	{Rule: Rule{"EXT_CSS", "html", 0.5, "The look of the page is fetched from elsewhere."}, match: externalStyle},
	{Rule: Rule{"HTML_FORM", "html", 0.5, "The page has a form."}, match: htmlForm},
	{Rule: Rule{"HTML_PASSWORD", "html", 4, "The page asks for a password."}, match: htmlPassword},
	{Rule: Rule{"HTML_SCRIPT", "html", 1, "The page holds a script, which no mail program runs."}, match: htmlScript},
}
