"""What is measured stands here: a campaign of these weeks, a simulated Zoom, a database on the disk.

Everything enters by production's doors (the daemon as a process, the jobs, the commands); only
crowds of registrants are written to the database at once.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service, open_service, utc_now
from resonance_zoom.settings import load_settings
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from resonance_zoom.zoom.simulator.records import SimRegistrant
from tests.conftest import CAMPAIGN, WEBHOOK_SECRET
from tests.faults.besieged import PROJECT, Daemon

GROUP = "teletravail"  # its meeting is six days away: the reminder of seven days has fallen due
REMINDER = "reminder-7"
CROWD = """
INSERT INTO registrants (focus_group, email_folded, email, registrant_id, first_name, last_name,
    status, join_url, episode, registered_at, approved_at, decided_ts, source, sought)
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :last)
SELECT :group, 'person' || i || '@example.org', 'person' || i || '@example.org', 'R' || i,
    'Maëlle', 'Martin ' || i, 'approved', 'https://zoom.us/w/1?tk=exemple' || i || '.DQMAAAA', 1,
    :began, :began, :decided, 'webhook', 'maelle martin ' || i || ' person' || i || '@example.org'
FROM n
"""


class Stage:
    """A campaign in a folder of its own, with its Zoom; `with` has the meetings made."""

    def __init__(self, folder: Path, *, smtp_url: str = "", confirmation: str = "ours") -> None:
        folder.mkdir(mode=0o700, parents=True)
        self.folder = folder = folder.resolve()
        self.database = folder / "resonance.db"
        self.zoom = SimulatedZoom(now=utc_now, seed=1, webhook_secret=WEBHOOK_SECRET)
        self._server = SimulatorServer(self.zoom)
        self._smtp_url = smtp_url
        (folder / "campaign.toml").write_text(_campaign(confirmation), encoding="utf-8")

    def __enter__(self) -> "Stage":
        self._server.start()
        with self.service() as service:
            service.store.prepare()
            self.run(service, "create_meetings")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def environ(self) -> dict[str, str]:
        """What the service is told."""
        return {
            "CAMPAIGN_FILE": str(self.folder / "campaign.toml"),
            "DATABASE_URL": f"sqlite:///{self.database}",
            "SMTP_URL": self._smtp_url,
            "ZOOM_ACCOUNT_ID": "acc",
            "ZOOM_CLIENT_ID": "cid",
            "ZOOM_CLIENT_SECRET": "csecret",
            "ZOOM_WEBHOOK_SECRET_TOKEN": WEBHOOK_SECRET,
            "ZOOM_API_URL": self._server.api_url,
            "ZOOM_OAUTH_URL": self._server.oauth_url,
            "SECRET_KEY": "0123456789abcdef0123456789abcdef",
            "PORT": "0",
        }

    @contextmanager
    def service(self, **otherwise: str) -> Iterator[Service]:
        """The service in this process; nothing runs by itself."""
        environ = self.environ | otherwise
        settings = load_settings(environ=environ, dotenv=self.folder / "no.env")
        made = open_service(settings)
        yield made
        made.close()

    @contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """`resonance-zoom run`, ready; at the end it is asked to stop."""
        daemon = Daemon(self.environ, self.folder)
        try:
            daemon.wait_until_ready()
            yield daemon
        finally:
            daemon.process.terminate()
            daemon.dead()

    def run(self, service: Service, name: str) -> None:
        """A job once, as the heartbeat runs it."""
        if trouble := run_job(service, jobs.job(name)):
            raise RuntimeError(f"{name}: {trouble}")

    def type(self, *words: str) -> None:
        """A command of the service, typed beside it."""
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **self.environ}
        subprocess.run(  # noqa: S603 — our own program
            [sys.executable, "-m", "resonance_zoom", *words],
            cwd=self.folder, env=environ, check=True, capture_output=True,
        )  # fmt: skip

    def register(self, people: int, *, first: int = 0) -> None:
        """So many people registered long ago: Zoom lists them, and we know it."""
        began = (utc_now() - timedelta(days=20)).replace(microsecond=0)
        values = {
            "first": first,
            "last": first + people,
            "group": GROUP,
            "began": stored(began),
            "decided": int(began.timestamp() * 1000),
        }
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(CROWD, values)
        meeting = self.zoom.meetings[self.meeting]
        for number in range(first, first + people):
            meeting.registrants[f"R{number}"] = _listed(number, began)

    @property
    def meeting(self) -> int:
        """Zoom's number of the meeting that people register for."""
        return int(self.one("SELECT zoom_meeting_id FROM meetings WHERE focus_group = ?", GROUP))

    def one(self, statement: str, *values: Any) -> Any:
        """The first column of the first row."""
        with closing(sqlite3.connect(self.database, timeout=60)) as connection:
            return connection.execute(statement, values).fetchone()[0]


def _listed(number: int, began: datetime) -> SimRegistrant:
    """One of the CROWD as Zoom has them."""
    return SimRegistrant(
        id=f"R{number}",
        email=f"person{number}@example.org",
        first_name="Maëlle",
        last_name=f"Martin {number}",
        status="approved",
        create_time=began,
        join_url=f"https://zoom.us/w/1?tk=exemple{number}.DQMAAAA",
    )


def _campaign(confirmation: str) -> str:
    text = CAMPAIGN.replace(
        'zoom_host = "', f'confirmations_per_day = 10_000_000\nconfirmation = "{confirmation}"\nzoom_host = "', 1
    )  # fmt: skip
    for old, days in (("2021-02-09", 6), ("2021-03-16", 60)):
        text = text.replace(old, f"{datetime.now(UTC).date() + timedelta(days=days)}")
    return text


def stored(moment: datetime) -> str:
    """A time as the service's own tables hold it."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None):%Y-%m-%d %H:%M:%S.%f}"
