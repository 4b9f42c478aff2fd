// Package policyd answers what Postfix asks about a mail before and while it
// takes it: the SMTP access policy delegation protocol (Postfix
// SMTPD_POLICY_README, attributes up to 3.7), and the table look-ups of
// socketmap_table(5) for virtual domains, mailboxes and aliases, for the owners
// of senders, for SRS addresses on the way back, for transports and for TLS
// towards others.
//
//	smtpd_recipient_restrictions = reject_unauth_destination,
//	    check_policy_service unix:gatepost/policy
//	smtpd_data_restrictions = check_policy_service unix:gatepost/policy
//	virtual_mailbox_domains = socketmap:unix:gatepost/socketmap:virtual_mailbox_domains
//	virtual_mailbox_maps = socketmap:unix:gatepost/socketmap:virtual_mailbox_maps
//	virtual_alias_maps = socketmap:unix:gatepost/socketmap:virtual_alias_maps
//	recipient_canonical_maps = socketmap:unix:gatepost/socketmap:recipient_canonical_maps
//	recipient_canonical_classes = envelope_recipient
//	smtp_tls_policy_maps = socketmap:unix:gatepost/socketmap:smtp_tls_policy_maps
//
// smtpd_sender_login_maps and transport_maps are there too. The table for SRS
// sees an address alone; that only bounces go back through it is decided here,
// at RCPT.
//
// A request is outbound if it has a sasl_username or if the profile of the
// service's policy_context says so; that of "submission" does. For outbound mail
// policyd checks that the account may send, that it may use this sender, and what
// the limits say; what strangers may do is a matter of checks, of limits by client
// or sender, and of the greylist, and most of it the milter's business. A service
// that is named in several restriction lists is asked several times for one
// recipient; the first answer is given again and counted once.
//
// A mail is counted once for each transaction, at DATA or END-OF-MESSAGE, by
// recipient_count and size; the answers at RCPT only predict. A recipient that
// another restriction refuses after we passed it therefore makes the prediction
// too careful by one, within that transaction only. Where Postfix asks at both,
// the size that the client claimed is put right at the end. Where it asks at
// RCPT alone nothing is ever counted: Server.Ended learns of such mail from the
// milter, and warns. Limits by the recipients' domain, and of distinct or new
// recipients, know those for whom RCPT was asked; others count as distinct and not
// as new. What of a transaction is older than an hour is forgotten.
//
// The journal has one record of the recipients that passed: with DATA, or when
// the next mail or the end of the connection shows that no DATA came.
//
// Whatever permits (OK, 200, permit_…, a restriction class) is never sent,
// unless a rule in the configuration has permits_relay.
//
// When we are away Postfix takes smtpd_policy_service_default_action (451)
// after one more try, and for a table 451 "Temporary lookup failure". In
// trouble of our own the connection is closed without an answer, which comes
// to the same.
//
// An account store that is away, and a request that can not be answered in time,
// is Config.DefaultAction for outbound mail. Inbound mail gets DUNNO, but for one
// thing: with checks.unknown_recipient in mode enforce a recipient of whom the
// account store does not say whether somebody has the address is 451, because
// mail that was taken for nobody would have to be bounced. Names that were asked
// for a moment ago are known all the same, from the store's cache, and whatever
// else is late (the DNS) never makes a recipient unknown. The state store never
// fails a request: what it cannot count lets the mail pass.
//
// A rate of a limit can be another one for some. What was set for the key with an
// end goes before what the account store has (package account, Limits) for the
// user, for a group of the user, of several the first by name, and for the domain;
// then come the overrides of the configuration, and the limit's own rate. The
// account store's hold for limits that count by user or user_domain.
//
// The guard (package guard) is asked at RCPT whether the client is closed out:
// strangers by the bans of port 25, 421 with the ban and its end, users by those
// of submission, 450. It is told of strangers' recipients whom nobody has, in
// whatever mode that check is, and with Config.WatchRelayAttempts of recipients
// elsewhere; Postfix has to ask us before reject_unlisted_recipient and
// reject_unauth_destination for that. It is told nothing of the null sender, since
// bounces of forged mail come from servers that did nothing wrong, and this host
// and those in trusted_hosts are never blamed nor closed out.
//
// Config.RejectUnauthenticatedLocalSender acts at RCPT, where nothing is known of
// the message: trusted hosts are excepted, what DMARC or a trusted forwarder would
// prove is not. Where forwarders and lists matter, the milter is the place.
//
// The conditions of rules are those of package rule. What a mailbox holds is known
// from its file maildirsize alone (package maildirsize), which Dovecot keeps with
// quota = maildir; with its other quota drivers nobody is over quota here. The size
// that the client claims is not added: Dovecot takes a last mail above the limit,
// too. Internationalised domains are compared as Postfix sends them, not converted.
package policyd
