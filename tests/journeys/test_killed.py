"""Killed with SIGKILL around the making of meetings and started again: one meeting a group."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from resonance_zoom.service import utc_now
from resonance_zoom.settings import Settings
from resonance_zoom.store.opening import open_store
from resonance_zoom.zoom.simulator import SimulatedZoom
from resonance_zoom.zoom.simulator.records import SimRequest
from tests.conftest import CAMPAIGN

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def clock() -> Any:
    """A program of its own runs by the real clock."""
    return utc_now


@pytest.fixture
def campaign_file(tmp_path: Path) -> Path:
    """The same groups, in the weeks to come."""
    text = CAMPAIGN
    for old, days in (("2021-02-09", 30), ("2021-03-16", 60)):
        text = text.replace(old, f"{datetime.now(UTC).date() + timedelta(days=days)}")
    path = tmp_path / "campaign.toml"
    path.write_text(text, encoding="utf-8")
    return path


class Program:
    """`resonance-zoom run`, a process of its own that Zoom can kill while it is being asked."""

    def __init__(self, environ: dict[str, str], where: Path, zoom: SimulatedZoom) -> None:
        self.zoom = zoom
        self._database = environ["DATABASE_URL"]
        self._environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environ}
        self._environ["PORT"] = "0"  # nobody calls it, and a free one may be taken meanwhile
        self._where = where
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "resonance_zoom", "run"], cwd=self._where, env=self._environ
        )

    def kill(self) -> bool:
        """SIGKILL; true when it is dead."""
        if self._process is None:
            return False
        self._process.kill()
        return self._process.wait(10) == -signal.SIGKILL

    def dies_at(self, operation: str, *, done: bool, meetings: int) -> list[tuple[str, bool]]:
        """Start; it is killed when it asks for `operation` and Zoom holds so many `meetings`.

        `done`: Zoom carries the request out all the same, and nobody reads the answer. Returns what
        is then known of each group: the state, and whether the meeting's id is known.
        """

        def strikes(_request: SimRequest) -> bool:
            return len(self.zoom.meetings) == meetings and self.kill()

        kind = "timeout-after" if done else "timeout-before"
        self.zoom.faults.clear()
        self.zoom.faults.api(operation, kind=kind, when=strikes)
        self.start()
        assert self._process is not None
        assert self._process.wait(20) == -signal.SIGKILL
        with self.zoom.lock:  # Zoom may still be carrying the request out
            return self.known()

    def runs_until_it_sweeps(self, meetings: int) -> list[tuple[str, bool]]:
        """Start; when it sweeps the last of so many meetings, all of them were made and noted."""
        asked, swept = set(), threading.Event()

        def look(request: SimRequest) -> bool:
            asked.add(request.path)
            if len(asked) == meetings:
                swept.set()
            return False

        self.zoom.faults.clear()
        self.zoom.faults.api("meetingRegistrants", kind="500", when=look)
        self.start()
        assert swept.wait(20)
        return self.known()

    def fifteen_minutes_pass(self) -> None:
        """As far as an unanswered create goes: Zoom's list would show it by now."""
        with closing(open_store(self._database)) as store, store.write() as connection:
            connection.execute(text("DELETE FROM meta WHERE key = 'creating'"))

    def known(self) -> list[tuple[str, bool]]:
        with closing(open_store(self._database)) as store, store.read() as connection:
            return [
                (state, meeting_id in self.zoom.meetings)
                for state, meeting_id in connection.execute(
                    text("SELECT state, zoom_meeting_id FROM meetings ORDER BY intended_at")
                )
            ]


@pytest.fixture
def program(
    environ: dict[str, str], settings: Settings, tmp_path: Path, zoom: SimulatedZoom
) -> Iterator[Program]:
    with closing(open_store(settings.database_url)) as store:
        store.prepare()
    made = Program(environ, tmp_path, zoom)
    yield made
    made.kill()


def test_killed_at_every_point_of_making_a_meeting_there_is_one_a_group(
    program: Program, zoom: SimulatedZoom
) -> None:
    zoom.faults.drop_settings_on_create = {"registrants_email_notification"}  # to be patched

    # The intent is committed, the create has not reached Zoom.
    assert program.dies_at("meetingCreate", done=False, meetings=0) == [("intended", False)]
    assert len(zoom.meetings) == 0
    program.fifteen_minutes_pass()
    # Zoom has created it, the answer was not read.
    assert program.dies_at("meetingCreate", done=True, meetings=0) == [("intended", False)]
    assert len(zoom.meetings) == 1
    # The first is adopted; the second was created, its answer read, and not yet read back.
    assert program.dies_at("meeting", done=False, meetings=2) == [
        ("open", True),
        ("intended", False),
    ]
    # The second is adopted; Zoom has patched it, the answer was not read.
    assert program.dies_at("meetingUpdate", done=True, meetings=2) == [
        ("open", True),
        ("intended", False),
    ]
    assert program.runs_until_it_sweeps(meetings=2) == [("open", True), ("open", True)]

    assert len({one.topic for one in zoom.meetings.values()}) == len(zoom.meetings) == 2
    assert [call.done for call in zoom.calls if call.operation == "meetingCreate"] == [
        False,
        True,
        True,
    ]
    assert not any(one.settings["registrants_email_notification"] for one in zoom.meetings.values())
