"""`make kill`: the real daemon is killed with SIGKILL under load, again and again; then we count.

Zoom and the mail server live here and strike from outside: at a random time, or at the very moment
when they hear a command or see a row. Nothing in the daemon knows of it. Zoom's retries after 5, 25
and 85 minutes come after a second here.
"""

import argparse
import json
import random
import re
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from unittest.mock import patch

import requests

from resonance_zoom.service import utc_now
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer, deliveries
from tests.conftest import CAMPAIGN, WEBHOOK_SECRET
from tests.faults.besieged import AT_THE_RELAY, PATIENCE, Daemon, Relay, wait_for

RETRIES = tuple(timedelta(seconds=n) for n in range(1, 300))  # after the first try
MOMENTS = ("any time", "starting", "not stored", "stored, not answered", *AT_THE_RELAY)
SHARD = 50  # kills of one campaign; the next fifty begin anew


@dataclass
class Figures:
    """What was counted. All but the last three lines must be as `sound` says."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    acknowledged_lost: int = 0
    places: int = 0
    letters: int = 0
    letters_lost: int = 0
    copies_without_doubt: int = 0
    copies_with_another_id: int = 0
    damaged: int = 0
    copies_in_doubt: int = 0
    wait_for_staff: int = 0
    tries_of_zoom: int = 0

    @property
    def sound(self) -> bool:
        return not (
            self.acknowledged_lost
            or self.letters_lost
            or self.copies_without_doubt
            or self.copies_with_another_id
            or self.damaged
        )

    def add(self, other: "Figures") -> None:
        for name in (one.name for one in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def table(self) -> str:
        counts = [(f"killed: {moment}", n) for moment, n in sorted(self.kills.items())]
        rest = [(one.name.replace("_", " "), getattr(self, one.name)) for one in fields(self)[1:]]
        lines = [("kills", self.kills.total()), *counts, *rest]
        return "\n".join(f"{name:32} {number:7}" for name, number in lines)


class Siege:
    """One campaign whose daemon is killed; `with` gives the world around it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 — it must repeat, not surprise
        self.folder = folder
        self.database = folder / "var" / "resonance.db"
        self.figures = Figures()
        self.zoom = SimulatedZoom(now=utc_now, seed=seed, webhook_secret=WEBHOOK_SECRET)
        self.relay = Relay()
        self._people = self._told = 0
        self._stop = threading.Event()
        self._server = SimulatorServer(self.zoom)
        self._patch = patch.object(deliveries, "RETRIES_AFTER_FIRST_TRY", RETRIES)
        self._zoom_calls = threading.Thread(target=self._deliver)
        self._post = self.zoom.webhooks.carry
        self.zoom.webhooks.carry = self._carry
        self._posted = threading.Event()
        self._strikes_stored: Daemon | None = None
        self._addressed: Daemon | None = None

    def __enter__(self) -> "Siege":
        self._patch.start()
        self._server.start()
        text = CAMPAIGN
        for old, days in (("2021-02-09", 30), ("2021-03-16", 60)):
            text = text.replace(old, f"{datetime.now(UTC).date() + timedelta(days=days)}")
        # Beyond the usual 500 letters wait for a yes: no siege would ever hear another one.
        text = text.replace("\n\n[organiser]", "\nconfirmations_per_day = 1000000\n\n[organiser]")
        (self.folder / "campaign.toml").write_text(text, encoding="utf-8")
        self.environ = {
            "CAMPAIGN_FILE": "campaign.toml",
            "DATABASE_URL": "sqlite:///var/resonance.db",
            "SMTP_URL": self.relay.url,
            "ZOOM_ACCOUNT_ID": "acc",
            "ZOOM_CLIENT_ID": "cid",
            "ZOOM_CLIENT_SECRET": "csecret",
            "ZOOM_WEBHOOK_SECRET_TOKEN": WEBHOOK_SECRET,
            "ZOOM_API_URL": self._server.api_url,
            "ZOOM_OAUTH_URL": self._server.oauth_url,
            "SECRET_KEY": "0123456789abcdef0123456789abcdef",
            "PORT": "0",
        }
        self._zoom_calls.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._zoom_calls.join(PATIENCE)
        self._server.stop()
        self.relay.close()
        self._patch.stop()

    # ---- what goes on while it is killed ---------------------------------------------------------

    def _deliver(self) -> None:
        while not self._stop.wait(0.005):
            self.zoom.deliver_due()

    def _carry(
        self, session: requests.Session, url: str, body: bytes, headers: dict[str, str]
    ) -> requests.Response | None:
        """Zoom's POST; sometimes the daemon dies when it has stored it and not yet been heard."""
        if self._addressed is None or self._addressed.process.poll() is not None:
            return None  # its port may be another daemon's by now, who knows the secret too
        self._posted.set()
        victim, self._strikes_stored = self._strikes_stored, None
        if victim is None:
            return self._post(session, url, body, headers)
        host, port = re.findall(r"//([\d.]+):(\d+)/", url)[0]
        head = {**headers, "Host": host, "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        before = self._count("events")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"POST /webhooks/zoom HTTP/1.1\r\n{lines}\r\n".encode() + body)
            wait_for(lambda: self._count("events") > before)
            victim.kill()
        return None  # nobody has read an answer

    def pour(self) -> None:
        """Some register, one in five changes their mind at once."""
        meetings = sorted(self.zoom.meetings)
        for _ in range(self.random.randint(3, 6)):
            self._people, self._told = self._people + 1, self._told + 1
            meeting, email = self.random.choice(meetings), f"person{self._people}@example.org"
            self.zoom.register(meeting, email=email, first_name="Alice")
            if self.random.random() < 0.2:
                self.zoom.cancel(meeting, email=email)
                self._told += 1

    def _rows(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(statement).fetchall()

    def _count(self, table: str) -> int:
        return int(str(self._rows(f"SELECT count(*) FROM {table}")[0][0]))  # noqa: S608

    # ---- the kills -------------------------------------------------------------------------------

    def begin(self) -> None:
        """One undisturbed start: Zoom's meetings are made."""
        with self.running() as daemon:
            wait_for(lambda: len(self.zoom.meetings) == 2)
            wait_for(lambda: self._rows("SELECT 1 FROM runs WHERE job = 'sync_registrants'"))
            daemon.process.send_signal(signal.SIGTERM)

    @contextmanager
    def running(self, *program: str) -> Iterator[Daemon]:
        """The daemon, or `program` in its place."""
        daemon = Daemon(self.environ, self.folder, *([program] if program else []))
        try:
            yield daemon
        finally:
            if daemon.process.poll() is None and sys.exc_info()[0] is not None:
                daemon.kill()
            daemon.dead()

    def kill(self, moment: str) -> None:
        """Start, let people register, kill at the moment; then see that nothing is missing."""
        with self.running() as daemon:
            if moment == "starting":
                threading.Event().wait(self.random.uniform(0, 1.2))
                daemon.kill()
            else:
                daemon.wait_until_ready()
                self.address(daemon)
                self._strike(daemon, moment)
            self.figures.kills[moment] += daemon.dead()
        self.relay.heard = lambda _step: None
        self.figures.acknowledged_lost += len(self.missing())

    def address(self, daemon: Daemon) -> None:
        self._addressed, url = daemon, f"{daemon.url}/webhooks/zoom"
        if not self.zoom.webhooks.subscriptions:
            self.zoom.subscribe(url)
        self.zoom.webhooks.subscriptions[0].url = url  # also of what waits for another try

    def _strike(self, daemon: Daemon, moment: str) -> None:
        if moment == "any time":
            self.pour()
            threading.Event().wait(self.random.uniform(0, 0.4))
            daemon.kill()
        elif moment == "not stored":
            with closing(sqlite3.connect(self.database, isolation_level=None)) as other:
                wait_for(lambda: self.zoom.next_delivery_at() is None)
                other.execute("PRAGMA busy_timeout=10000")
                other.execute("BEGIN IMMEDIATE")
                self._posted.clear()
                self.pour()
                assert self._posted.wait(PATIENCE)
                threading.Event().wait(self.random.uniform(0.01, 0.1))
                daemon.kill()
                daemon.process.wait(PATIENCE)
        elif moment == "stored, not answered":
            wait_for(lambda: self.zoom.next_delivery_at() is None)
            self._strikes_stored = daemon
            self.pour()
        else:
            left = [self.random.randint(1, 4)]  # not always the first: it may be one in doubt

            def heard(step: str) -> None:
                left[0] -= step == moment
                if left[0] == 0:
                    daemon.kill()

            self.relay.heard = heard
            until = time.monotonic() + PATIENCE
            while daemon.process.poll() is None:
                if time.monotonic() > until:
                    raise TimeoutError(f"no letter came to {moment}")
                self.pour()
                threading.Event().wait(0.2)

    def end(self) -> Figures:
        """A last start; when all that is owed has left, everything is counted."""
        with self.running() as daemon:
            daemon.wait_until_ready()
            self.address(daemon)
            # Not until the queue is empty: one on its way is in no queue, and may come back.
            wait_for(lambda: len(self.acknowledged()) == self._told)
            unfinished = "SELECT 1 FROM letters WHERE state IN ('queued', 'sending')"
            wait_for(lambda: not self._rows(unfinished))
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(PATIENCE) == 0, "".join(daemon.said)
        self._settle()
        return self.figures

    # ---- the reckoning ---------------------------------------------------------------------------

    def missing(self) -> set[tuple[object, ...]]:
        """Notifications that Zoom saw acknowledged and that are in no row; looked up in a copy."""
        copy, told = self.folder / "copy.db", self.acknowledged()
        for suffix in ("", "-wal"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # the log: not there when nothing was written
                shutil.copy(f"{self.database}{suffix}", f"{copy}{suffix}")
        with closing(sqlite3.connect(copy)) as connection:
            sound = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows = connection.execute("SELECT event, event_ts, email_folded FROM events")
            stored = set(rows.fetchall())
        self.figures.damaged += not sound
        self.figures.acknowledged = len(told)
        return told - stored

    def acknowledged(self) -> set[tuple[object, ...]]:
        with self.zoom.lock:
            done = [one for one in self.zoom.webhooks.log if one.outcome == "done"]
        return {
            (one.event, one.event_ts, payload["object"]["registrant"]["email"])
            for one in done
            if "registrant" in (payload := json.loads(one.body)["payload"])["object"]
        }

    def _settle(self) -> None:
        copies = Counter(str(message_from_bytes(one)["Message-ID"]) for one in self.relay.accepted)
        letters = self._rows(
            "SELECT l.message_id, l.state, (SELECT count(*) FROM journal j"
            "  WHERE j.kind = 'letter.in_doubt' AND json_extract(j.data, '$.letter') = l.id)"
            " FROM letters l"
        )
        figures = self.figures
        figures.tries_of_zoom = len(self.zoom.webhooks.log)
        figures.copies_with_another_id = len(copies.keys() - {row[0] for row in letters})
        for message_id, state, doubts in letters:
            count = copies[str(message_id)]
            figures.letters += 1
            figures.wait_for_staff += state == "in_doubt"
            figures.letters_lost += state not in {"dropped", "in_doubt"} and count == 0
            extra = max(count - 1, 0)
            figures.copies_in_doubt += min(extra, int(str(doubts)))
            figures.copies_without_doubt += max(extra - int(str(doubts)), 0)
        known = {row[0] for row in self._rows("SELECT email_folded FROM registrants")}
        figures.letters_lost += len(
            {f"person{n + 1}@example.org" for n in range(self._people)} - known
        )
        # Who withdrew may have no letter: the withdrawal can come before it has left.
        stayed = self._stayed()
        figures.places = len(stayed)
        figures.letters_lost += len(stayed - self._written_to())

    def _stayed(self) -> set[object]:
        """Those who hold a place at Zoom."""
        meetings = self.zoom.meetings.values()
        return {who.email for one in meetings for who in one.registrants.values() if who.active}

    def _written_to(self) -> set[object]:
        """Those whose link left, or waits for staff to say whether it did."""
        confirmed = (
            "SELECT r.email_folded FROM registrants r JOIN letters l ON l.registrant = r.id"
            " WHERE l.kind = 'confirmation' AND l.state IN ('sent', 'in_doubt')"
        )
        return {row[0] for row in self._rows(confirmed)}


def besiege(folder: Path, *, seed: int, kills: int, moments: tuple[str, ...] = MOMENTS) -> Figures:
    """So many kills of one campaign, each moment in turn; then the reckoning."""
    with Siege(folder, seed) as siege:
        siege.begin()
        for number in range(kills):
            siege.kill(moments[number % len(moments)])
        return siege.end()


def _shard(given: tuple[int, int]) -> Figures:
    seed, kills = given
    with tempfile.TemporaryDirectory() as folder:
        return besiege(Path(folder), seed=seed, kills=kills)


def main() -> int:
    """Besiege campaigns side by side, print what was counted; 1 when a promise was broken."""
    reader = argparse.ArgumentParser(prog="make kill")
    reader.add_argument("--kills", type=int, default=500)
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--side-by-side", type=int, default=2)
    given = reader.parse_args()
    shards = [
        (given.seed + number, min(SHARD, given.kills - number * SHARD))
        for number in range(-(-given.kills // SHARD))
    ]
    total, began = Figures(), time.monotonic()
    with ProcessPoolExecutor(given.side_by_side) as pool:
        for (seed, kills), figures in zip(shards, pool.map(_shard, shards), strict=True):
            told = (
                "sound" if figures.sound else f"BROKEN, again with: make kill N={kills} SEED={seed}"
            )
            print(f"seed {seed}: {kills} kills, {told}", flush=True)  # noqa: T201
            if not figures.sound:
                print(figures.table(), flush=True)  # noqa: T201
            total.add(figures)
    print(total.table(), f"\nin {time.monotonic() - began:.0f} seconds", flush=True)  # noqa: T201
    return 0 if total.sound else 1


if __name__ == "__main__":
    sys.exit(main())
