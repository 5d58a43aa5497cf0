"""Growth: what the clock and the staff ask for, of a small campaign and of a thousand times as much.

In turns, in one process: the tick when nothing is due, a look for letters when none is ready, a
letter claimed and sent, every page. What the large one reads from end to end is shown with its
query plan.
"""

import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import event

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from tests.bench import crowd, full_house, load
from tests.bench.pages import REFERENCE, Browser, Page, addresses, invitation
from tests.bench.report import Report, Target, figure
from tests.bench.sizes import Sizes
from tests.conftest import Clock

PART = "growth"
AT_HAND = 20  # letters, for each look at what a claim costs
AT_ONCE = 2.0  # milliseconds
ENOUGH = 4.0  # seconds of looking at one thing
# They write every row there is; nobody asks for them often.
EXPORTS = ("registrants: CSV", "registrants: XLSX")
# But for the indices that hold only what is in a passing state.
OF_A_STATE = "ix_letters_(queue|due|sending|failed|dropped|in_doubt)|ix_registrants_pending"
SCANNED = re.compile(rf"SCAN ({'|'.join(crowd.TABLES)})\b(?! USING INDEX ({OF_A_STATE})\b)")


@dataclass
class House:
    """A campaign of some size, at work, with a member of the staff signed in."""

    people: int
    database: Path
    service: Service
    browser: Browser
    pages: dict[str, Page]


@dataclass
class Look:
    """Something that is done in both houses: milliseconds in the small one, in the large one."""

    name: str
    do: Callable[[House], float]
    small: list[float] = field(default_factory=list)
    large: list[float] = field(default_factory=list)


def measure(report: Report, folder: Path, sizes: Sizes) -> None:
    """The small campaign and the large one, kept for the next time."""
    kept = folder.parent.resolve()
    people = _as_many_as_fit(report, sizes.large, kept)
    for size in (sizes.small, people):
        if not crowd.folder_of(size, kept).exists():
            report.tell(f"making a campaign of {size:,} registrants, kept in {kept}")
            began = time.perf_counter()
            crowd.make(size, crowd.folder_of(size, kept))
            took = time.perf_counter() - began
            if took > 60:
                report.note(f"growth: the campaign of {size:,} was made in {took:.0f} s, and kept")
    relay = load.program("smtp-sink") is not None
    if not relay:
        report.lacks("growth: a letter sent, without smtp-sink (Debian: postfix)")
    with ExitStack() as stack:
        sink = stack.enter_context(load.smtp_sink()) if relay else ""
        small, large = (stack.enter_context(_house(n, kept, sink)) for n in (sizes.small, people))
        looks = list(_looks(small, large, relay=relay))
        for look in looks:
            _look(look, small, large, sizes.looks)
        _tell(report, looks, small, large)
        _plans(report, looks, large)


def _as_many_as_fit(report: Report, people: int, kept: Path) -> int:
    if crowd.folder_of(people, kept).exists():
        return people
    while not crowd.fits(people, kept) and people > 10_000:
        people //= 10
        report.note(f"growth: the disk has too little room; the large campaign has {people:,}")
    return people


@contextmanager
def _house(people: int, kept: Path, sink: str) -> Iterator[House]:
    folder = crowd.folder_of(people, kept)
    service = full_house.service_in(folder, Clock(crowd.NOW), smtp_url=sink)
    service.store.require_current()
    with service.store.write() as connection:  # as if the clock had just gone round
        for job in jobs.SCHEDULE:
            journal.note_run(
                connection, job=job.name, started_at=crowd.NOW, seconds=0.1, did="", error=None
            )
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    browser = Browser(server.port)
    try:
        browser.sign_in(invitation(service))
        found = addresses(service, lines=people * crowd.LINES)
        pages = {page.name: page for page in found if page.name not in EXPORTS}
        yield House(people, folder / "resonance.db", service, browser, pages)
    finally:
        browser.close()
        server.stop()
        service.close()


def _looks(small: House, large: House, *, relay: bool) -> Iterator[Look]:
    yield Look("tick, nothing due", lambda house: _job(house, "send_reminders"))
    yield Look("look for letters, none ready", lambda house: _job(house, "deliver_letters"))
    if relay:
        yield Look(f"{AT_HAND} letters claimed and sent", _letters)
    for name in small.pages:
        if name in large.pages:
            yield Look(f"page: {name}", lambda house, name=name: _page(house, name))  # type: ignore[misc]


def _look(look: Look, small: House, large: House, times: int) -> None:
    for house in (small, large):
        look.do(house)  # what is made once, and what the first tick has to settle
    began = time.perf_counter()
    while len(look.small) < times:
        look.small.append(look.do(small))
        look.large.append(look.do(large))
        if time.perf_counter() - began > ENOUGH:
            return


def _job(house: House, name: str) -> float:
    began = time.perf_counter()
    if trouble := run_job(house.service, jobs.job(name)):
        raise RuntimeError(f"{name}: {trouble}")
    return (time.perf_counter() - began) * 1000


def _letters(house: House) -> float:
    """Some letters that were put back are ready now; all of them leave."""
    with closing(sqlite3.connect(house.database, timeout=60)) as database, database:
        database.execute(
            "UPDATE letters SET state = 'queued', ready_at = '2021-02-03 11:00:00.000000',"
            " worth_until = '2021-02-09 10:00:00.000000', sent_at = NULL WHERE id IN (SELECT"
            " letters.id FROM letters JOIN registrants ON registrants.id = letters.registrant"
            " WHERE letters.focus_group = 'teletravail' AND kind = 'confirmation'"
            " AND status = 'approved' AND letters.id <= 2000 LIMIT ?)",
            (AT_HAND,),
        )
    return _job(house, "deliver_letters")


def _page(house: House, name: str) -> float:
    page = house.pages[name]
    house.browser.close()  # while the other one was looked at, this one may have been hung up on
    house.browser.look(house.pages[REFERENCE])
    house.browser.look(page)
    return page.times[-1]


def _tell(report: Report, looks: Sequence[Look], small: House, large: House) -> None:
    at_most = Target(at_most=2.0)
    for look in looks:
        before, after = statistics.median(look.small), statistics.median(look.large)
        ratios = [now / was for was, now in zip(look.small, look.large, strict=True)]
        name = f"{look.name}: {figure(before)} → {figure(after)} ms"
        report.add(PART, name, "×", ratios, target=at_most)
    report.note(
        f"growth: {small.people:,} → {large.people:,} registrants, {large.people * crowd.LETTERS:,}"
        f" letters, {large.people * crowd.LINES:,} journal lines"
    )


def _plans(report: Report, looks: Sequence[Look], large: House) -> None:
    """The plan of every statement that reads a whole table, for whoever is to mend it."""
    scans = 0
    told: set[str] = set()
    for look in looks:
        for statement, parameters, milliseconds in _statements(look, large):
            for plan in _scans(large.service, statement, parameters):
                words = " ".join(statement.split())
                # In the order of an index, up to the end of a page, is no reading of a whole table.
                if words in told or (" LIMIT " in words and milliseconds < AT_ONCE):
                    continue
                told.add(words)
                scans += 1
                report.note(f"full scan: {look.name}: {plan}: {milliseconds:.0f} ms: {words[:300]}")
    report.add(PART, "statements that read a whole table", "", [scans], target=Target(at_most=0))


def _statements(look: Look, house: House) -> list[tuple[str, Any, float]]:
    """Each different statement of one more look, and how long it took to begin its answer."""
    seen: dict[str, tuple[Any, float]] = {}

    def before(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        if not many:
            seen[statement] = (parameters, time.perf_counter())

    def after(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        if not many:
            seen[statement] = (parameters, (time.perf_counter() - seen[statement][1]) * 1000)

    engine = house.service.store.engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    look.do(house)
    event.remove(engine, "before_cursor_execute", before)
    event.remove(engine, "after_cursor_execute", after)
    return [(statement, *found) for statement, found in seen.items()]


def _scans(service: Service, statement: str, parameters: Any) -> list[str]:
    if statement.split()[0] not in {"SELECT", "UPDATE", "DELETE", "INSERT", "WITH"}:
        return []
    with service.store.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return [row[3] for row in rows if SCANNED.match(row[3])]
