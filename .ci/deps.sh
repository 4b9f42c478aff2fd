#!/bin/sh
# deps.sh demo|test|eval-compare: installs what `make demo`, `make test` or
# `make eval-compare` needs on Debian 12 and is not there yet, and says what.
# DEPS=no only prints the apt line, which any user may ask for.
#
# No service starts: a policy-rc.d of ours stands in the way while apt works,
# and one that was there before is put back as it was.
set -eu

target=${1:-test}
policy=/usr/sbin/policy-rc.d
saved=/usr/sbin/policy-rc.d.before-gatepost

say() { printf 'deps: %s\n' "$*"; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

wanted='iproute2 postfix dovecot-imapd opendkim-tools python3-dkim python3-nacl'
case $target in
demo) ;;
# The race detector needs a C compiler; units and the howto need systemd's tools.
test) wanted="$wanted gcc libc6-dev systemd opendkim strace dovecot-pop3d dovecot-managesieved dovecot-lmtpd dovecot-auth-lua lua-socket mariadb-server redis-server redis-sentinel redis-tools swaks libnet-ssleay-perl sieve-connect" ;;
eval-compare) wanted='bogofilter spamassassin' ;;
*) echo "usage: deps.sh demo|test|eval-compare" >&2; exit 2 ;;
esac

command -v dpkg-query >/dev/null || {
	say "this is no Debian; install $wanted yourself"
	exit 0
}
missing=
for p in $wanted; do installed "$p" || missing="$missing $p"; done
if [ -z "$missing" ]; then
	[ "${DEPS:-yes}" != no ] || say "nothing is missing"
	exit 0
fi
if [ "${DEPS:-yes}" = no ]; then
	echo "apt-get install --no-install-recommends$missing"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	say "missing:$missing; not root, so run: sudo make $target"
	exit 1
fi

restore() {
	rm -f "$policy"
	# -h: it may be a link that leads nowhere.
	if [ -e "$saved" ] || [ -h "$saved" ]; then mv "$saved" "$policy"; fi
}
# A saved file already there is from a run that was killed: it is the original.
if [ ! -e "$saved" ] && [ ! -h "$saved" ] && { [ -e "$policy" ] || [ -h "$policy" ]; }; then
	mv "$policy" "$saved"
fi
trap restore EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
if [ "$target" != eval-compare ] && ! installed postfix; then
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
fi
say "installing$missing"
# shellcheck disable=SC2086 # a list of words
get() { apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 install $missing; }
# The package lists may be missing or old.
if ! get >/dev/null 2>&1; then
	say "apt-get update"
	apt-get -q update >/dev/null
	get
fi
for p in $missing; do
	say "$p $(dpkg-query -W -f '${Version}' "$p")"
done
