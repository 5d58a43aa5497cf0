"""Who comes with links that let nobody in: after twenty the door is shut to them for a while.

The journal hears of it, once a minute at most: whoever tries thousands must not fill it.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from starlette.requests import Request

from resonance_zoom.errors import ResonanceError
from resonance_zoom.service import Service
from resonance_zoom.store import journal

FAILURES, WINDOW = 20, timedelta(minutes=15)
TELL_EVERY = timedelta(minutes=1)
MOST_CLIENTS = 10_000


@dataclass(slots=True)
class Guesses:
    """The failures of late, by where they came from. In memory: a new start forgets them."""

    by_client: dict[str, list[datetime]] = field(default_factory=dict)
    told: datetime | None = None
    told_shut: datetime | None = None
    untold: int = 0

    def shut(self, client: str, now: datetime) -> bool:
        """Whether this one has guessed too often, and waits."""
        return len(self._recent(client, now)) >= FAILURES

    def count(self, client: str, now: datetime) -> bool:
        """One more failure. True: it shuts the door, and the journal is to hear of it."""
        recent = self._recent(client, now)
        if len(self.by_client) >= MOST_CLIENTS and client not in self.by_client:
            self.by_client.clear()
        self.by_client[client] = [*recent, now][-FAILURES - 1 :]
        if len(recent) != FAILURES - 1 or _is_recent(self.told_shut, now):
            return False
        self.told_shut = now
        return True

    def to_be_told(self, now: datetime) -> int:
        """How many refusals the journal is to hear of now; 0: it heard of some a moment ago."""
        self.untold += 1
        if _is_recent(self.told, now):
            return 0
        self.told, count, self.untold = now, self.untold, 0
        return count

    def _recent(self, client: str, now: datetime) -> list[datetime]:
        return [moment for moment in self.by_client.get(client, []) if moment > now - WINDOW]


def _is_recent(told: datetime | None, now: datetime) -> bool:
    """What lies ahead was told before the clock was set back."""
    return told is not None and now - TELL_EVERY < told <= now


def client_of(request: Request) -> str:
    """By what a visitor is counted: their address, or the network that one household gets.

    Who has an IPv6 line has 2⁶⁴ addresses to come from.
    """
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.exploded[:19]


def note_refused(service: Service, guesses: Guesses, now: datetime) -> None:
    """A link that let nobody in: one of ours that is too old, or one that somebody made up."""
    if count := guesses.to_be_told(now):
        words = f"entry refused, links that are too old, incomplete or made up: {count}"
        _note(service, now, "staff.link_refused", words, refused=count)


def note_shut(service: Service, now: datetime) -> None:
    """Somebody has come with too many of them."""
    minutes = WINDOW // timedelta(minutes=1)
    words = f"{FAILURES} refused links from one place: it waits for {minutes} minutes"
    _note(service, now, "staff.door_shut", words, refused=FAILURES)


def _note(service: Service, now: datetime, kind: str, words: str, *, refused: int) -> None:
    # The page that refuses is the same whether or not the database can be written to.
    with suppress(ResonanceError), service.store.write() as connection:
        journal.note(connection, now, kind, words, level=journal.WARNING, refused=refused)
