// Package mysql keeps accounts on MariaDB or MySQL servers, for several hosts
// that behave as one: a driver of account.Backend over go-sql-driver/mysql.
//
//	s, err := mysql.Open(ctx, cfg, log)
//
// There are two layouts of domains, users and aliases. In the schema "gatepost"
// they are in tables of ours, read and written. In a foreign schema (a preset,
// or queries of the configuration) they belong to another program: they are only
// read, and what would change them is account.ErrReadOnly. What we add to a user
// (a hold, restrictions of logins, app passwords, grants, groups, rates) is
// always in tables of ours, gatepost_…, by address.
//
// Look-ups go to any of the servers that has all changes that this process knows
// of, changes to one. While that one is away, the others may have been cut off from
// what it goes on to change: they are believed that a row is there, but logins, and
// that a user is not there, are errors then. Of another program's tables only the
// one for changes is believed that a row is not there, always. Each change moves the row of gatepost_version, which each
// process reads twice a second: what another process changed is seen within a
// second. Another program's tables have no such row: answers from them are kept
// for Config.CacheTime.
//
// While no server answers, names that were asked before get their last answer
// (Config.LastGood), without the password. A name that was not asked, or was not
// there, is an error, and so is everything that Fresh is asked.
//
// A server that lets us in no more (another password, a limit of connections) is
// as good as away, once it has let us in.
//
// Limits: who writes to the tables of ours by hand has to move the row of
// gatepost_version, or restart each process. Names that strangers ask for are in
// the cache as well, and push out known ones when there are more than it holds:
// then those are an error while no server answers. MySQL itself is not among the servers that this was tried with, only
// MariaDB 10.11; what differs (the limit of a statement's time) is written for
// both. A last use that another host noted is seen when the rows of that user
// are read again. Without a column "id" in a foreign schema, app passwords and
// grants outlive a user who is removed and made again there. Logins of a foreign
// schema ask the server for changes only: nothing tells how far behind another
// one is. Where rows of ours are kept (OwnDBName) is on the same servers.
package mysql
