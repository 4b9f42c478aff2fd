"""Plays events through fail2ban's own classes, with the defaults of jail.conf.

usage: PYTHONPATH=DIRECTORY-OF-fail2ban python3 rule.py < sidebyside.events

It prints a line for each event: "pass", or "drop" where the firewall would have
dropped it. A ban holds half a second after the line that made it.
"""
import logging
import sys

from fail2ban.server.banmanager import BanManager
from fail2ban.server.failmanager import FailManager, FailManagerEmpty
from fail2ban.server.mytime import MyTime
from fail2ban.server.ticket import BanTicket, FailTicket

logging.disable(logging.CRITICAL)
START = 1800000000
fails, bans = FailManager(), BanManager()
fails.setMaxRetry(5)
fails.setMaxTime(600)
bans.setBanTime(600)
holds = {}
for line in sys.stdin:
    word = line.split()
    if not word or word[0] == "#":
        continue
    at, addr, outcome = START + int(word[0]), word[1], word[4]
    MyTime.setTime(at)
    for ticket in bans.unBanList(at):
        holds.pop(str(ticket.getID()), None)
    if addr in holds and at >= holds[addr]:
        print("drop")
        continue
    print("pass")
    if outcome == "right":
        continue
    fails.addFailure(FailTicket(addr, at, [line]))
    try:
        while True:
            ticket = BanTicket.wrap(fails.toBan())
            bans.addBanTicket(ticket)
            holds[str(ticket.getID())] = at + 0.5
    except FailManagerEmpty:
        pass
