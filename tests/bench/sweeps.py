"""Sweep: Zoom's lists are read again, and nothing has changed; what that costs our own processor."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from jobs import sync_registrants
from resonance_zoom import meetings
from resonance_zoom.service import Service
from resonance_zoom.zoom import parsing
from resonance_zoom.zoom.payloads import Registrant
from tests.bench.references.serving import running
from tests.bench.references.zoom_lists import PAGE, line
from tests.bench.report import Report, Target
from tests.bench.sizes import Sizes
from tests.bench.stage import GROUP, Stage

PART = "sweep"


@dataclass
class Listing:
    """Zoom's client as far as a sweep needs it, with everything in memory."""

    people: list[Registrant]

    def registrant_pages(self, _meeting: int, status: str) -> Iterator[list[Registrant]]:
        """The pages of a status; all are approved."""
        theirs = self.people if status == "approved" else []
        for first in range(0, len(theirs), PAGE):
            yield theirs[first : first + PAGE]

    def close(self) -> None:
        """There is nothing to hang up."""


def measure(report: Report, folder: Path, sizes: Sizes) -> None:
    """First everybody is new, then nobody: out of memory, and over HTTP."""
    listing: Any = Listing([parsing.registrant(line(number)) for number in range(sizes.listed)])
    in_memory, over_http, statements = [], [], Counter[str]()
    with Stage(folder / "sweep") as stage, running("zoom_lists", sizes.listed) as zoom:
        with stage.service() as service:
            service.zoom = listing
            first, _ = _sweep(service)
        elsewhere = {"ZOOM_API_URL": f"{zoom}/v2", "ZOOM_OAUTH_URL": f"{zoom}/oauth/token"}
        for _ in range(sizes.rounds):
            with stage.service() as service:
                service.zoom = listing
                in_memory.append(_sweep(service)[0])
            with stage.service(**elsewhere) as service:
                over_http.append(_sweep(service)[0])
        with stage.service() as service:
            service.zoom = listing
            with counted(service.store.engine) as statements:
                _sweep(service)
    pages = -(-sizes.listed // PAGE)
    people = f"{sizes.listed:,} registrants"
    at_most = Target(at_most=2.0)
    report.add(PART, f"{people}, nothing new, lists in memory", "s CPU", in_memory, target=at_most)
    report.add(PART, f"{people}, nothing new, over HTTP", "s CPU", over_http, target=at_most,
               says="requests, JSON and a journal line for each call are in it")  # fmt: skip
    report.add(PART, "statements a page", "", [statements.total() / pages],
               target=Target(at_most=1.1), says="those that come once a sweep are in it")  # fmt: skip
    report.add(PART, f"{people}, all new", "s CPU", [first])


def _sweep(service: Service) -> tuple[float, str]:
    """Seconds of this process's processor time, and what the sweep says it did."""
    with service.store.read() as connection:
        meeting = next(row for row in meetings.open_rows(connection) if row.focus_group == GROUP)
    began = time.process_time()
    said = sync_registrants.sweep(service, meeting).sentence()
    return time.process_time() - began, said


@contextmanager
def counted(engine: Engine) -> Iterator[Counter[str]]:
    """How often each statement is run while this lasts; a transaction's begin is none."""
    seen: Counter[str] = Counter()

    def note(_c: Any, _k: Any, statement: str, _p: Any, _x: Any, _m: bool) -> None:
        if not statement.startswith("BEGIN"):
            seen[statement] += 1

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
