"""Two webs and two clocks as real processes: one clock at a time, and nobody notices when it dies."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import func, select

from resonance_zoom.service import utc_now
from resonance_zoom.store import journal
from resonance_zoom.store.engine import Store
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.tables import events, letters, registrants
from resonance_zoom.store.tables import journal as lines
from resonance_zoom.zoom.protocol import sign
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import CAMPAIGN, WEBHOOK_SECRET, free_port
from tests.mail_server import MailServer

PROJECT = Path(__file__).parents[2]
TAKEOVER = 15.0


@pytest.fixture
def clock() -> Any:
    """These run by the real clock."""
    return utc_now


@pytest.fixture
def campaign_file(tmp_path: Path) -> Path:
    """The same groups, in the weeks to come."""
    words = CAMPAIGN
    for old, days in (("2021-02-09", 30), ("2021-03-16", 60)):
        words = words.replace(old, f"{datetime.now(UTC).date() + timedelta(days=days)}")
    path = tmp_path / "campaign.toml"
    path.write_text(words, encoding="utf-8")
    return path


@pytest.fixture
def database_url(prepared_url: str) -> str:
    return prepared_url


class Process:
    """A `web` or a `clock`, on a machine of its own as far as it knows."""

    def __init__(self, environ: dict[str, str], folder: Path, *words: str) -> None:
        folder.mkdir()
        self.port = free_port()
        self.complaints = folder / "stderr"
        with self.complaints.open("wb") as stderr:
            self.process = subprocess.Popen(  # noqa: S603 — our own command
                [sys.executable, "-m", "resonance_zoom", *words],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environ}
                | {"PORT": str(self.port), "LOG_FORMAT": "json"},
                stderr=stderr,
            )

    def said(self, words: str) -> bool:
        return words in self.complaints.read_text(encoding="utf-8")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


Start = Callable[..., Process]


@pytest.fixture
def start(environ: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start a process; all of them end with the test."""
    started: list[Process] = []

    def begin(*words: str) -> Process:
        started.append(Process(environ, tmp_path / f"machine-{len(started)}", *words))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture
def store(prepared_url: str) -> Iterator[Store]:
    """A look into the database from outside."""
    made = open_store(prepared_url)
    yield made
    made.close()


def await_that(holds: Callable[[], object], *, seconds: float = 15) -> float:
    """How long it took; what is awaited is another process."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            if holds():
                return time.monotonic() - began
        except requests.ConnectionError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"it did not come within {seconds} seconds")


def states(store: Store) -> Counter[str]:
    with store.read() as connection:
        return Counter(connection.scalars(select(letters.c.state)))


def starts(store: Store) -> int:
    """How many clocks have come on."""
    with store.read() as connection:
        found = select(func.count()).where(lines.c.kind == "service.started")
        return int(connection.execute(found).scalar_one())


def test_when_the_clock_is_killed_in_a_wave_another_goes_on_within_fifteen_seconds(
    start: Start, store: Store, zoom: SimulatedZoom, mail_server: MailServer
) -> None:
    """Each letter arrives once; twice only where the journal says that it was in doubt."""
    first = start("clock")
    await_that(lambda: len(zoom.meetings) == 2 and starts(store) == 1)
    second = start("clock")
    await_that(lambda: second.said("standing by"))
    for number in range(300):
        zoom.register(min(zoom.meetings), email=f"guest{number}@example.org", first_name="Guest")
    store.wake("sync_registrants")  # as a command or a web would
    await_that(lambda: len(mail_server.kept) >= 20)
    first.kill()
    killed_at = len(mail_server.kept)
    assert await_that(lambda: starts(store) == 2, seconds=TAKEOVER) < TAKEOVER
    await_that(lambda: states(store) == {"sent": 300}, seconds=40)
    assert killed_at < 250  # or the wave was over, and nothing was shown
    received = Counter(kept.recipients[0] for kept in mail_server.kept)
    assert len(received) == 300
    with store.read() as connection:
        doubted = connection.execute(
            select(registrants.c.email)
            .join(lines, lines.c.registrant == registrants.c.id)
            .where(lines.c.kind == "letter.in_doubt")
        ).scalars()
        assert {who for who, times in received.items() if times > 1} <= set(doubted)
    assert max(received.values()) <= 2
    assert second.stop() == 0


def test_a_clock_whose_lock_is_gone_ends_itself_and_the_one_that_stood_by_goes_on(
    start: Start, store: Store
) -> None:
    first = start("clock")
    await_that(lambda: first.said("this clock is at work"))
    second = start("clock")
    await_that(lambda: second.said("standing by"))
    with store.write() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE datname = current_database()"
            " AND locktype = 'advisory' AND objid = 2 AND objsubid = 2 AND granted"
        )
    assert first.process.wait(15) == 1
    assert first.said("the locks hang on is lost")
    await_that(lambda: second.said("this clock is at work"))
    assert second.stop() == 0


def test_one_event_told_to_two_webs_at_once_has_one_effect(
    start: Start, store: Store, zoom: SimulatedZoom, mail_server: MailServer
) -> None:
    webs = [start("web"), start("web")]
    at_work = start("clock")
    for web in webs:
        await_that(
            lambda web=web: requests.get(f"http://127.0.0.1:{web.port}/healthz", timeout=1).ok
        )
    await_that(lambda: len(zoom.meetings) == 2 and starts(store) == 1)
    statuses: list[int] = []

    def tell(port: int, body: bytes) -> None:
        stamp = str(int(time.time()))
        headers = {
            "x-zm-request-timestamp": stamp,
            "x-zm-signature": sign(WEBHOOK_SECRET, stamp, body),
        }
        url = f"http://127.0.0.1:{port}/webhooks/zoom"
        statuses.append(requests.post(url, data=body, headers=headers, timeout=10).status_code)

    for number in range(10):
        body = _registration(min(zoom.meetings), number)
        calls = [
            threading.Thread(target=tell, args=(web.port, body)) for web in webs for _ in range(4)
        ]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
    assert statuses == [200] * 80
    with store.read() as connection:
        for table in (events, registrants, letters):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 10
    # The clock is another process: it was woken, and does not wait for its time.
    assert await_that(lambda: len(mail_server.kept) == 10) < 10
    ready = requests.get(f"http://127.0.0.1:{webs[0].port}/readyz", timeout=5).json()["points"]
    assert ready["clock_process"]["ok"]
    assert [one.stop() for one in (*webs, at_work)] == [0, 0, 0]


def test_many_processes_that_start_on_an_empty_database_migrate_it_once(
    start: Start, environ: dict[str, str], empty_url: str
) -> None:
    environ["DATABASE_URL"] = empty_url
    webs = [start("web") for _ in range(3)]
    for web in webs:
        await_that(
            lambda web=web: requests.get(f"http://127.0.0.1:{web.port}/healthz", timeout=1).ok,
            seconds=30,
        )
    store = open_store(empty_url)
    store.require_current()
    store.close()
    assert [web.stop() for web in webs] == [0, 0, 0]


def test_a_web_without_a_clock_says_so(start: Start, store: Store) -> None:
    web = start("web")
    await_that(lambda: requests.get(f"http://127.0.0.1:{web.port}/healthz", timeout=1).ok)
    ready = requests.get(f"http://127.0.0.1:{web.port}/readyz", timeout=5)
    assert ready.status_code == 503
    assert ready.json()["points"]["clock_process"] == {"ok": False, "says": "never"}
    with store.write() as connection:
        journal.alive(connection, utc_now())
    ready = requests.get(f"http://127.0.0.1:{web.port}/readyz", timeout=5)
    assert ready.json()["points"]["clock_process"]["ok"]
    assert web.stop() == 0


def _registration(meeting: int, number: int) -> bytes:
    registrant = {
        "id": f"r{number}",
        "email": f"alice{number}@example.org",
        "first_name": "Alice",
        "status": "approved",
        "join_url": f"https://zoom.us/w/1?tk={number}",
    }
    document = {
        "event": "meeting.registration_created",
        "event_ts": int(time.time() * 1000) + number,
        "payload": {"object": {"id": meeting, "registrant": registrant}},
    }
    return json.dumps(document).encode()
