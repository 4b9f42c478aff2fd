package scan

// bulkRules are about mailing lists and bulk mail.
var bulkRules = []rule{}
