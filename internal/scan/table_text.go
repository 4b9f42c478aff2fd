package scan

// textRules are about what scams say.
var textRules = []rule{}
