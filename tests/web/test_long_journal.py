"""However long the journal is, a page reads no more of it than it shows, and shows a page of it.

Not by the clock, which tells of the machine, but by what the database says it will do. How long it
takes with a million lines is measured by `python -m tests.bench.bench_journal`.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert
from starlette.testclient import TestClient

from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, runs
from resonance_zoom.web.app import ROUTES
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer
from tests.web.town import Town, town_of

Staff = Callable[..., TestClient]
# What grows with every hour that the service runs, however few people are registered.
ENDLESS = ("journal", "runs", "events", "staff_act_chain")
LINES = 3_000
FILTERS = (
    "",
    "level=all",
    "level=debug",
    "level=error",
    "kind=letters",
    "kind=letter.sent",
    "kind=nothing.of.the.kind",
    "group=teletravail",
    "group=teletravail&level=debug",
    "group=teletravail&kind=zoom&level=all",
    "person=martin",
    "person=1&kind=letters",
    "person=nobody",
    "from=2021-01-01&to=2021-01-02",
    "from=2021-01-11",
    "before=1500",
    "after=1500",
    "size=200",
)


@pytest.fixture
def town(
    service: Service,
    zoom: SimulatedZoom,
    clock: Clock,
    mail_server: MailServer,
    web_server: WebServer,
) -> Town:
    """Three people, and a journal as long as if they had been there for months."""
    made = town_of(service, zoom, clock, mail_server, web_server)
    for name in ("alice", "bob", "charlie"):
        made.register(name, name.title(), "Martin")
    made.run("deliver_letters")
    with service.store.write() as connection:
        connection.execute(insert(journal), [_line(clock, number) for number in range(LINES)])
        connection.execute(insert(runs), [_run(clock, number) for number in range(LINES)])
    return made


def _line(clock: Clock, number: int) -> dict[str, Any]:
    return {
        "at": clock.time - timedelta(seconds=LINES - number),
        "level": ("debug", "info", "warning", "error")[number % 4],
        "kind": ("zoom.call", "sweep.done", "letter.sent")[number % 3],
        "focus_group": "teletravail" if number % 2 else None,
        "registrant": number % 3 + 1 if number % 5 == 0 else None,
        "message": "x",
        "data": {},
    }


def _run(clock: Clock, number: int) -> dict[str, Any]:
    at = clock.time - timedelta(seconds=LINES - number)
    return {"job": "watch", "started_at": at, "seconds": 0.1, "did": "", "error": None}


@contextmanager
def asked_of_the_database(service: Service) -> Iterator[dict[str, Any]]:
    """{statement: its values} of all that is asked meanwhile."""
    found: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        found.setdefault(statement, values)

    event.listen(service.store.engine, "before_cursor_execute", note)
    yield found
    event.remove(service.store.engine, "before_cursor_execute", note)


def walks(service: Service, statements: dict[str, Any]) -> list[tuple[str, str]]:
    """Which endless tables are walked through, or read to be sorted, and by which statement.

    Whoever takes the last few as they stand there, without a condition and without sorting, stops
    after them.
    """
    assert service.settings.database_file is not None
    found = []
    with closing(sqlite3.connect(service.settings.database_file)) as connection:
        for statement, values in statements.items():
            if not statement.startswith(("SELECT", "WITH")):
                continue
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            steps = [row[3].split() for row in plan]
            sorts = any(step[0] == "USE" for step in steps)  # … TEMP B-TREE
            takes_the_last = "LIMIT" in statement and "WHERE" not in statement
            of_a_day = "journal.at > ?" in statement  # few enough to be sorted
            searched = {step[1] for step in steps if step[0] == "SEARCH"}
            read = searched if sorts and not of_a_day else set()
            if sorts or not takes_the_last:
                read |= {step[1] for step in steps if step[0] == "SCAN"}
            found += [(table, statement) for table in ENDLESS if table in read]
    return found


@pytest.mark.of_a_file("the plans are SQLite's")
def test_no_page_walks_through_what_grows_without_end(
    town: Town, staff: Staff, service: Service
) -> None:
    admin = staff("admin")
    parts = {
        "{line:int}": str(LINES // 2), "{registrant:int}": "1", "{kind}": "confirmation",
        "{act}": "resend", "{subject}": "1", "{token}": "a.b.c", "{group}": "teletravail",
    }  # fmt: skip
    paths = {route.path for route in ROUTES if "GET" in (route.methods or ())}
    for part, value in parts.items():
        paths = {path.replace(part, value) for path in paths}
    paths |= {f"/staff/journal?{words}" for words in FILTERS}
    paths |= {"/staff/letters?person=martin", "/staff/registrants?q=martin"}
    assert len(paths) > 40
    for path in sorted(paths):
        with asked_of_the_database(service) as statements:
            assert admin.get(path).status_code in {200, 303, 403, 404, 503}, path
        assert walks(service, statements) == [], path


@pytest.mark.of_a_file("the plans are SQLite's")
def test_such_a_walk_is_found(town: Town, service: Service) -> None:
    """The test above would pass if nothing were seen."""
    with asked_of_the_database(service) as statements, service.store.read() as connection:
        connection.execute(journal.select().where(journal.c.message.contains("x")).limit(1))
        connection.execute(runs.select().where(runs.c.error.is_not(None)))
        connection.execute(runs.select().order_by(runs.c.seconds).limit(1))
        connection.execute(runs.select().order_by(runs.c.id.desc()).limit(1))
    assert [table for table, _ in walks(service, statements)] == ["journal", "runs", "runs"]


@pytest.mark.parametrize(
    ("asked", "shown"), [("", 50), ("size=200", 200), ("size=201", 50), ("size=1000000", 50)]
)
def test_a_page_of_the_journal_has_at_most_200_lines(
    town: Town, staff: Staff, asked: str, shown: int
) -> None:
    page = staff("reader").get(f"/staff/journal?{asked}").text
    assert page.count('<li class="line"') == shown


@pytest.mark.parametrize(
    "path", ["/staff/journal?person={}", "/staff/registrants?q={}", "/staff/letters?person={}"]
)
def test_a_search_of_over_100_signs_is_none(town: Town, staff: Staff, path: str) -> None:
    reader = staff("reader")
    assert "100 caractères est ignoré" in reader.get(path.format("x" * 101)).text
    assert "100 caractères est ignoré" not in reader.get(path.format("x" * 100)).text
