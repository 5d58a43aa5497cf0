"""How many of Zoom's challenges are answered: no more than ten within a minute.

Each answer is made with the key that signs notifications. Zoom asks every 72 hours, and when
somebody presses Validate; more often asks only who collects answers. The refusal is a 429, after
which Zoom does not come again by itself: https://developers.zoom.us/docs/api/webhooks/
"""

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from resonance_zoom.errors import ResonanceError
from resonance_zoom.service import Service
from resonance_zoom.store import journal

A_MINUTE = timedelta(minutes=1)
ANSWERED_A_MINUTE = 10


@dataclass(slots=True)
class Challenges:
    """Those answered last. In memory: after a new start ten more may be answered."""

    answered: deque[datetime] = field(default_factory=lambda: deque(maxlen=ANSWERED_A_MINUTE))
    told: datetime | None = None

    def may_be_answered(self, now: datetime) -> bool:
        """Whether this one is among the ten; if so, it counts from now on."""
        if sum(_is_recent(at, now) for at in self.answered) == ANSWERED_A_MINUTE:
            return False
        self.answered.append(now)
        return True

    def are_to_be_told(self, now: datetime) -> bool:
        """Whether the journal is to hear of a refusal: a flood is not a flood of lines."""
        if self.told is not None and _is_recent(self.told, now):
            return False
        self.told = now
        return True


def _is_recent(at: datetime, now: datetime) -> bool:
    """What lies ahead came before the clock was set back: it must not close the door for hours."""
    return now - A_MINUTE < at <= now


def note_answered(service: Service) -> None:
    """Zoom asked, and knows now that we know the secret."""
    with suppress(ResonanceError), service.store.write() as connection:
        journal.note(connection, service.now(), "webhook.challenge", "Zoom validated our address")


def note_refused(service: Service) -> None:
    """Too many asked."""
    words = "Over ten challenges within a minute; those beyond are refused"
    with suppress(ResonanceError), service.store.write() as connection:
        journal.note(
            connection,
            service.now(),
            "webhook.challenges_refused",
            words,
            level=journal.WARNING,
        )
