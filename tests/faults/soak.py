"""`make soak`: weeks of notifications and letters in a minute; the daemon's memory and files then.

The real daemon as a process of its own, with Zoom and a mail server here. Of every four notifications
one is a registration, which owes a letter; the others are its repetition, a change of a meeting that
is none of ours, and the cancellation of somebody registered before.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from resonance_zoom.service import utc_now
from resonance_zoom.zoom.protocol import sign
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from tests.conftest import CAMPAIGN, WEBHOOK_SECRET
from tests.faults.besieged import Daemon, Relay, wait_for

ROUNDS = 10
CALLERS = 8  # connections of Zoom's, each with one notification in flight
GROWS_AT_MOST = 5.0  # MB in as many notifications, as a day of real life may cost
MORE_FILES = 8  # four more connections to the database, as many as its pool may keep beside the one
WARM = 5  # rounds in which caches fill up


@dataclass(frozen=True, slots=True)
class Look:
    """The daemon after a round: MB in memory, open files, threads."""

    webhooks: int
    letters: int
    memory: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One look a round."""

    looks: Sequence[Look]

    @property
    def grows(self) -> float:
        """MB in all of the notifications at the pace of a usual round, once it was warm.

        A leak is in every round. The first run of an hourly or daily job is a step, and no leak.
        """
        later = self.looks[WARM - 1 :]
        return ROUNDS * median(two.memory - one.memory for one, two in pairwise(later))

    @property
    def files_left_open(self) -> int:
        """More files at the end than when it was warm."""
        return self.looks[-1].files - max(look.files for look in self.looks[:WARM])

    @property
    def sound(self) -> bool:
        return self.grows <= GROWS_AT_MOST and self.files_left_open <= MORE_FILES

    def table(self) -> str:
        lines = ["webhooks  letters  memory MB  files  threads"]
        lines += [
            f"{one.webhooks:8}  {one.letters:7}  {one.memory:9.1f}  {one.files:5}  {one.threads:7}"
            for one in self.looks
        ]
        kept = f"once warm: {self.grows:+.1f} MB at that pace, {self.files_left_open:+} files"
        return "\n".join([*lines, kept])


def soak(folder: Path, *, webhooks: int) -> Figures:
    """Play so many notifications in ten rounds, a fourth as many letters, and look after each."""
    with _world(folder) as (zoom, relay, environ):
        daemon = Daemon(environ, folder)
        try:
            daemon.wait_until_ready()
            wait_for(lambda: len(zoom.meetings) == 2)
            meeting = min(zoom.meetings.values(), key=lambda one: one.start_time).id
            people, looks = webhooks // ROUNDS // 4, []
            for number in range(ROUNDS):
                first = number * people
                _call(daemon.url, [*_notifications(meeting, first, people)])
                letters = first + people
                wait_for(lambda: len(relay.accepted) >= letters)  # noqa: B023 — waited for here
                looks.append(_look(daemon.process.pid, 4 * letters, len(relay.accepted)))
                relay.accepted[:] = [b""] * len(relay.accepted)  # ours shall not grow either
        finally:
            daemon.process.terminate()
            daemon.dead()
    assert daemon.process.returncode == 0, "".join(daemon.said[-20:])
    return Figures(looks)


@contextmanager
def _world(folder: Path) -> Iterator[tuple[SimulatedZoom, Relay, dict[str, str]]]:
    zoom = SimulatedZoom(now=utc_now, seed=1, webhook_secret=WEBHOOK_SECRET)
    text = CAMPAIGN.replace("\n\n[organiser]", "\nconfirmations_per_day = 100000\n\n[organiser]", 1)
    for old, days in (("2021-02-09", 30), ("2021-03-16", 60)):
        text = text.replace(old, f"{datetime.now(UTC).date() + timedelta(days=days)}")
    (folder / "campaign.toml").write_text(text, encoding="utf-8")
    with SimulatorServer(zoom) as server, closing(Relay()) as relay:
        yield (
            zoom,
            relay,
            {
                "CAMPAIGN_FILE": "campaign.toml",
                "DATABASE_URL": "sqlite:///var/resonance.db",
                "SMTP_URL": relay.url,
                "ZOOM_ACCOUNT_ID": "acc",
                "ZOOM_CLIENT_ID": "cid",
                "ZOOM_CLIENT_SECRET": "csecret",
                "ZOOM_WEBHOOK_SECRET_TOKEN": WEBHOOK_SECRET,
                "ZOOM_API_URL": server.api_url,
                "ZOOM_OAUTH_URL": server.oauth_url,
                "SECRET_KEY": "0123456789abcdef0123456789abcdef",
                "PORT": "0",
            },
        )


def _notifications(meeting: int, first: int, people: int) -> Iterator[bytes]:
    stamp = int(utc_now().timestamp() * 1000)
    for number in range(first, first + people):
        person = {
            "id": f"r{number}",
            "email": f"alice{number}@example.org",
            "first_name": "Alice",
            "last_name": f"Martin {number}",
            "status": "approved",
            "join_url": f"https://zoom.us/w/1?tk={number}",
        }
        registered = _body("meeting.registration_created", stamp, meeting, person)
        yield registered
        yield registered
        yield _body("meeting.updated", stamp + number, 1, None)
        # Somebody of an earlier round: their letter has left.
        left = person | {
            "id": f"r{number - people}",
            "email": f"alice{number - people}@example.org",
        }
        yield _body("meeting.registration_cancelled", stamp, meeting, left)


def _body(event: str, stamp: int, meeting: int, person: dict[str, str] | None) -> bytes:
    thing = {"id": meeting} | ({"registrant": person} if person else {})
    return json.dumps({"event": event, "event_ts": stamp, "payload": {"object": thing}}).encode()


def _call(url: str, bodies: Sequence[bytes]) -> None:
    """Post them over a few connections; each is acknowledged."""

    def some(mine: Sequence[bytes]) -> set[int]:
        where, answers = urlsplit(url), set()
        with closing(HTTPConnection(str(where.hostname), where.port, timeout=30)) as connection:
            for body in mine:
                stamp = str(int(utc_now().timestamp()))
                headers = {
                    "x-zm-request-timestamp": stamp,
                    "x-zm-signature": sign(WEBHOOK_SECRET, stamp, body),
                }
                connection.request("POST", "/webhooks/zoom", body, headers)
                answer = connection.getresponse()
                answer.read()
                answers.add(answer.status)
        return answers

    with ThreadPoolExecutor(CALLERS) as callers:
        shares = [bodies[first::CALLERS] for first in range(CALLERS)]
        assert set().union(*callers.map(some, shares)) == {200}


def _look(pid: int, webhooks: int, letters: int) -> Look:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    says = dict(line.split(":", 1) for line in lines)
    memory, threads = int(says["VmRSS"].split()[0]) / 1024, int(says["Threads"])
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Look(webhooks, letters, memory, files, threads)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--webhooks", type=int, default=20_000)
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(Path(folder), webhooks=arguments.parse_args().webhooks)
    print(figures.table())  # noqa: T201 — what the command is for
    sys.exit(not figures.sound)


if __name__ == "__main__":
    main()
