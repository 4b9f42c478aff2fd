// Package sink carries the bans of this host to others that can close the door:
// the firewall (package firewall and its helper), a command, a webhook.
//
// Hosts that share a state hear of each other's bans, and each carries all of them
// to its own sinks: a webhook that all of them name gets each ban from each, with
// the same id.
//
// What the guard refuses by itself, at every login and policy request, needs no
// sink: it holds at once and always. A sink keeps the packets away too, or tells
// another host. So a sink that fails costs nothing but work, and is never waited
// for: Changed puts a change into a bounded queue for each sink and returns.
//
// Each sink has one goroutine. It begins with the whole list of bans, then takes
// changes in their order. After a failure, or when its queue ran over, it takes
// the whole list again, a second later at first and a minute at most. So what is
// lifted here is lifted everywhere, if not at once then when the sink is back.
//
// mode: off does nothing; observe only logs what would be done; enforce does it.
// A ban that the guard itself only observes is not carried to any sink.
//
// Commands are started without a shell, with an empty environment, one at a time,
// each word of argv being one argument:
//
//	[firewall-cmd, --zone=drop, "--add-source={network}"]
//
// {network}, {family} (ipv4, ipv6), {services} (imap,submission), {ports}
// (143,993,465), {seconds}, {action} (ban, lift), {id} and {until} are replaced
// within a word. None of them is text of a stranger. A command is called again
// for a ban that holds when Gatepost starts, so it has to allow that. When a ban
// is over the command is called with lift, unless {seconds} tells it when.
//
// The webhook gets a POST of JSON, {"action":"ban","time":…,"ban":{…}}, with
// lift for lifted and sync with all bans. secret_file signs it with
//
//	X-Gatepost-Signature: t=1795178956,v1=HEX
//
// where HEX is HMAC-SHA-256 of "t.body", or with auth: bearer goes into the
// field Authorization.
//
// Limits: port 25 reaches the webhook only, as the service mx: it is never
// closed below SMTP, where nobody could say 4xx. What waits is lost when the process
// ends: the next one begins with the whole list. A command is called with lift at
// the start for what ended, or was lifted, while Gatepost was down, unless its
// mode is another by then: off and observe call nothing.
package sink
