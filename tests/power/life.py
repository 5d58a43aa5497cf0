"""The life of a service between two power cuts: it starts, takes webhooks, sends letters, copies.

What others may rely on is marked in the disk's log at the moment they may: a webhook when `keep` has
returned, which is before Zoom reads its 200; a letter when the mail server has taken it, and when
the note that it was sent is committed.
"""

import json
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog
from sqlalchemy import event, insert

from resonance_zoom import backups, daemon, wave
from resonance_zoom.delivery import Delivery, Outcome, Turn, letter_id
from resonance_zoom.errors import MailDeferred, MailInDoubt
from resonance_zoom.mail.postman import Accepted
from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import load_settings
from resonance_zoom.store import outbox
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.tables import meetings
from resonance_zoom.web.webhooks import Call, keep
from resonance_zoom.zoom import protocol
from tests.campaigns.stage import ROOM
from tests.conftest import CAMPAIGN, WEBHOOK_SECRET
from tests.power.disk import Disk
from tests.power.plug import plugged

BEGIN = datetime(2021, 1, 11, 10, tzinfo=UTC)
DATABASE = "var/resonance.db"
Plug = Callable[[Disk], AbstractContextManager[None]]


class Life:
    """One start of a service in a folder, and what it did until the power was cut."""

    def __init__(self, folder: Path, chance: random.Random, number: int) -> None:
        self.chance = chance
        self.disk = Disk(folder)
        self.now = BEGIN + timedelta(hours=number)
        self.told: list[tuple[str, str, int]] = []  # notifications, some come again
        self._people = number * 1000
        campaign = folder.with_name("campaign.toml")  # on another disk
        campaign.write_text(CAMPAIGN, encoding="utf-8")
        environ = {
            "CAMPAIGN_FILE": str(campaign),
            "DATABASE_URL": f"sqlite:///{folder}/{DATABASE}",
            "ZOOM_WEBHOOK_SECRET_TOKEN": WEBHOOK_SECRET,
            "SECRET_KEY": "0123456789abcdef0123456789abcdef",
        }
        self.settings = load_settings(environ=environ, dotenv=folder.with_name("no.env"))
        self.service: Service | None = None
        self.at_hand = 0  # the letter that the mail server is given
        self.moods = True  # it does not take every letter, and some answers are lost

    @contextmanager
    def lived(self, under: Plug = plugged) -> Iterator["Life"]:
        """Under the plug, without a word in the log; it ends by dying."""
        with (
            under(self.disk),
            patch("resonance_zoom.service.letter_room", lambda _settings: ROOM),
            _silence(),
        ):
            try:
                yield self
            finally:
                self.die()

    # ---- what it does ----------------------------------------------------------------------------

    def start(self, *, tidy_every: int | None = None) -> None:
        """As the daemon does; the log is tidied after so many pages, few as a rule.

        Raises what keeps it from starting.
        """
        self.service = open_service(self.settings, now=lambda: self.now)
        pages = tidy_every or self.chance.choice((8, 30, 120))

        @event.listens_for(self.service.store.engine, "connect")
        def tidy_often(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA wal_autocheckpoint={pages}")

        self.service.postmen[:] = [Relay(self)]
        self.service.delivery.postmen = self.service.postmen
        _watch(self.service.delivery, self)
        daemon.start_up(self.service)
        with self.service.store.write() as connection:
            rows = insert(meetings).prefix_with("OR IGNORE")
            connection.execute(rows, _two_meetings())

    def stop(self) -> None:
        """As the daemon does when it ends itself."""
        assert self.service is not None
        self.service.close()

    def die(self) -> None:
        """As by SIGKILL: what was not written by now is not written."""
        self.disk.over = True
        if self.service is not None:
            self.service.close()

    def act(self) -> None:
        """One thing that a service does, drawn."""
        self.now += timedelta(seconds=self.chance.randint(1, 60))
        kind = self.chance.choices(
            ("webhooks", "letters", "watch", "restart", "backup", "scrub"), (12, 8, 3, 1, 1, 1)
        )[0]
        assert self.service is not None
        if kind == "webhooks":
            self.webhooks(self.chance.randint(1, 6))
        elif kind == "letters":
            self.letters(self.chance.randint(1, 4))
        elif kind == "watch":
            self.service.store.note_how_far()
            note = self.disk.folder / f"{DATABASE}.made"
            node = self.disk.node_of(note)
            assert node is not None
            self.disk.read_anew(node, note)
        elif kind == "restart":
            daemon.shut_down(self.service)
            self.service.close()
            self.start()
        elif kind == "backup":
            made = backups.make_daily(self.service.store, self.now)
            self.disk.mark("backups", str(made.relative_to(self.disk.folder)))
        else:
            self.service.store.scrub()

    def webhooks(self, many: int) -> None:
        """A group of calls, acknowledged together; one in four was heard before, some cancel."""
        drawn = [self._told() for _ in range(many)]
        assert self.service is not None
        keep(self.service, [_call(*one) for one in drawn])
        for one in drawn:
            self.disk.mark("acknowledged", one)

    def _told(self) -> tuple[str, str, int]:
        stamp = int(self.now.timestamp() * 1000) + len(self.told)
        if self.told and self.chance.random() < 0.25:
            name, email, _ = known = self.chance.choice(self.told)
            if self.chance.random() < 0.5 or name != "meeting.registration_created":
                return known
            one = "meeting.registration_cancelled", email, stamp
        else:
            self._people += 1
            one = "meeting.registration_created", f"person{self._people}@example.org", stamp
        self.told.append(one)
        return one

    def letters(self, many: int) -> None:
        """So many letters at most leave."""
        assert self.service is not None
        left = iter(range(many + 1))
        wave.send_ready(self.service.delivery, lambda: next(left, None) is not None)


class Relay:
    """A mail server that mostly takes a letter."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def ready(self) -> None:
        """Always."""

    def close(self) -> None:
        """Nothing to hang up."""

    def send(self, **_letter: Any) -> Accepted:
        luck = self.life.chance.random() if self.life.moods else 1.0
        if luck < 0.05:
            raise MailDeferred("451 later")
        self.life.disk.mark("accepted", self.life.at_hand)
        if luck < 0.1:
            raise MailInDoubt("the answer was lost")
        return Accepted("250 OK")


def _watch(delivery: Delivery, life: Life) -> None:
    """Mark which letter is at hand, and which notes that a letter was sent are committed."""
    turn, attempt = delivery.turn, delivery.attempt

    def watched_turn(outcomes: Sequence[Outcome], *, wanted: int) -> Turn:
        did = turn(outcomes, wanted=wanted)
        for one in outcomes:
            life.disk.mark("sent" if one.state == outbox.SENT else "settled", letter_id(one.claim))
        return did

    def watched_attempt(claim: Any, postman: Any) -> Any:
        life.at_hand = letter_id(claim)
        return attempt(claim, postman)

    delivery.turn, delivery.attempt = watched_turn, watched_attempt  # type: ignore[method-assign]


def _call(name: str, email: str, stamp: int) -> Call:
    registrant = {
        "id": email.partition("@")[0],
        "email": email,
        "first_name": "Alice",
        "status": "cancelled" if name.endswith("cancelled") else "approved",
        "join_url": "https://zoom.us/w/1?tk=1",
    }
    document = {
        "event": name,
        "event_ts": stamp,
        "payload": {"object": {"id": 1, "registrant": registrant}},
    }
    said: Any = protocol.parse(json.dumps(document).encode())
    return Call(said, protocol.Verified(0, stale=False))


def _two_meetings() -> list[dict[str, Any]]:
    starts = {
        "teletravail": datetime(2021, 2, 9, 8, tzinfo=UTC),
        "espaces-exterieurs": datetime(2021, 3, 16, 8, tzinfo=UTC),
    }
    return [
        {
            "focus_group": slug,
            "zoom_meeting_id": number,
            "reference": slug,
            "state": "open",
            "topic": slug,
            "start_at": start,
            "end_at": start + timedelta(hours=2),
            "intended_at": BEGIN,
        }
        for number, (slug, start) in enumerate(starts.items(), 1)
    ]


@contextmanager
def _silence() -> Iterator[None]:
    usual = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**usual)


def _drop(_logger: Any, _name: str, _event: Any) -> Any:
    raise structlog.DropEvent


# ---- what is left --------------------------------------------------------------------------------


@cache
def empty_database() -> bytes:
    """A database of the present schema with nothing in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resonance.db"
        store = open_store(f"sqlite:///{path}")
        store.prepare()
        store.close()
        return path.read_bytes()


def prepared() -> dict[str, bytes | None]:
    """The files of a service before its first start, with a database."""
    return {"var": None, DATABASE: empty_database(), f"{DATABASE}.made": b""}


def write_down(files: dict[str, bytes | None], folder: Path) -> None:
    """Make a folder of what survived."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in sorted(files.items()):
        if content is None:
            (folder / name).mkdir(mode=0o700)
        else:
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
