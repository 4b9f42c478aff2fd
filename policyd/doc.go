// Package policyd answers what Postfix asks about a mail before and while it
// takes it: the SMTP access policy delegation protocol (Postfix
// SMTPD_POLICY_README, attributes up to 3.7), and the table look-ups of
// socketmap_table(5) for virtual domains, mailboxes and aliases.
//
//	smtpd_recipient_restrictions = reject_unauth_destination,
//	    check_policy_service unix:gatepost/policy
//	smtpd_data_restrictions = check_policy_service unix:gatepost/policy
//	virtual_mailbox_domains = socketmap:unix:gatepost/socketmap:virtual_mailbox_domains
//	virtual_mailbox_maps = socketmap:unix:gatepost/socketmap:virtual_mailbox_maps
//	virtual_alias_maps = socketmap:unix:gatepost/socketmap:virtual_alias_maps
//
// A request is outbound if it has a sasl_username or if the service's
// policy_context is "submission". For outbound mail policyd checks that the
// account may send, that it may use this sender, and how many recipients it
// had. Mail from strangers gets DUNNO: what is decided about it is the
// milter's business. A service that is named in several restriction lists is
// asked several times for one recipient; the first answer is given again and
// counted once.
//
// Recipients are counted once for each mail transaction, at DATA or
// END-OF-MESSAGE, by recipient_count; the answers at RCPT only predict. A
// recipient that another restriction refuses after we passed it therefore
// makes the prediction too careful by one, within that transaction only. Where
// Postfix asks at RCPT alone nothing is ever counted: the service has to stand
// in smtpd_data_restrictions or smtpd_end_of_data_restrictions too.
//
// Whatever permits (OK, 200, permit_…, a restriction class) is never sent,
// unless a rule in the configuration has permits_relay.
//
// When we are away Postfix takes smtpd_policy_service_default_action (451)
// after one more try, and for a table 451 "Temporary lookup failure". In
// trouble of our own the connection is closed without an answer, which comes
// to the same; an account store that is away is 451 for outbound mail and
// DUNNO for inbound mail. The state store never fails a request: what it
// cannot count lets the mail pass.
//
// The rules have a small fixed set of conditions on purpose; internationalised
// domains are compared as Postfix sends them, not converted.
package policyd
