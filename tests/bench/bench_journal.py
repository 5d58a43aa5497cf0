"""The journal page over a million lines: `python -m tests.bench.bench_journal [LINES] [FOLDER]`.

Fills a database (kept, and used again, when FOLDER is given), then asks for the page through the
application, signed in, as a browser does; prints the middle and the worst of seven looks and, with
`--plans`, what SQLite makes of the queries. Exits with 1 when a page takes 300 ms or more.
"""

import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event
from starlette.testclient import TestClient

from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import load_settings
from resonance_zoom.web.app import make_app
from tests.conftest import CAMPAIGN

NOW = datetime(2021, 2, 1, 12, tzinfo=UTC)
BEGAN = datetime(2020, 12, 1, tzinfo=UTC)
GROUPS = ("teletravail", "espaces-exterieurs")
PEOPLE = 2_000
RUNS = 300_000  # a month of them is kept
LOOKS = 7
LONGEST_MS = 300.0

# (kind, level, how often in ten thousand, about a person, about a group)
USUAL = (
    ("zoom.call", "debug", 6_000, False, False),
    ("sweep.done", "info", 1_500, False, True),
    ("zoom.call", "warning", 20, False, False),
    ("zoom.call", "info", 3, False, False),
    ("webhook.received", "info", 300, False, True),
    ("registration.created", "info", 900, True, True),
    ("registration.cancelled", "info", 150, True, True),
    ("letter.sent", "info", 1_000, True, True),
    ("letter.deferred", "warning", 80, True, True),
    ("letter.failed", "error", 5, True, True),
    ("letters.owed", "info", 20, False, True),
    ("staff.sign_in", "info", 20, False, False),
    ("sweep.failed", "warning", 2, False, True),
)
# Rare and long ago: the first lines of the journal hold all there are of these.
FIRST = (
    ("meeting.created", "info", False, True),
    ("clock.held", "error", False, False),
    ("mail.unreachable", "error", False, False),
    ("meeting.problem", "error", False, True),
)
FILTERS = (
    ("nothing (technical lines hidden)", ""),
    ("everything", "level=all"),
    ("technical lines only", "level=debug"),
    ("one group", "group=teletravail"),
    ("letters", "kind=letters"),
    ("one kind, often", "kind=letter.sent"),
    ("one kind, rare and old", "kind=clock.held"),
    ("a family, rare and old", "kind=meetings"),
    ("calls to Zoom", "kind=zoom"),
    ("calls to Zoom, all", "kind=zoom&level=all"),
    ("errors", "level=error"),
    ("warnings of one group", "level=warning&group=teletravail"),
    ("errors among the letters", "level=error&kind=letters"),
    ("errors among the calls (none)", "level=error&kind=zoom"),
    ("technical letters (none)", "level=debug&kind=letters"),
    ("calls to Zoom of a group (none)", "kind=zoom&level=all&group=teletravail"),
    ("service lines of a group (none)", "kind=service&group=teletravail"),
    ("a group, technical (none)", "level=debug&group=teletravail"),
    ("one person", "person=17"),
    ("a name that 1 person has", "person=martin+1234"),
    ("a name that all have", "person=martin"),
    ("one person's failed letters", "person=17&kind=letter.failed"),
    ("one day", "from=2020-12-24&to=2020-12-24"),
    ("a month of one group's letters", "from=2020-12-01&to=2020-12-31&group=teletravail&kind=letters"),
    ("a day without such lines", "from=2020-12-24&to=2020-12-24&kind=meetings"),
    ("before the campaign", "to=2020-01-01"),
    ("deep: everything before the middle", "level=all&before={middle}"),
    ("deep: letters before the middle", "kind=letters&before={middle}"),
    ("deep: letters after the first", "kind=letters&after=10"),
    ("deep: errors after the middle", "level=error&after={middle}"),
    ("200 lines a page", "size=200"),
    ("a line opened, among the newest", "{last}"),
    ("a line opened, in the middle", "{middle}"),
    ("a line opened, the first", "1"),
)  # fmt: skip


def fill(path: Path, lines: int) -> None:
    """Write people and `lines` lines, the newest a minute before NOW."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous=OFF")
    database.executemany(
        "INSERT INTO registrants (focus_group, email_folded, email, first_name, last_name, status,"
        " episode, registered_at, decided_ts, source, sought) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (
            (GROUPS[n % 2], f"m{n}@example.org", f"m{n}@example.org", "Alice", f"Martin {n}",
             "approved", 1, stored(BEGAN), 0, "webhook", f"alice martin {n} m{n}@example.org")
            for n in range(1, PEOPLE + 1)
        ),
    )  # fmt: skip
    fill_journal(database, lines, groups=GROUPS, people=PEOPLE)
    fill_runs(database, RUNS)
    database.commit()
    database.close()


def fill_journal(
    database: sqlite3.Connection, lines: int, *, groups: Sequence[str], people: int
) -> None:
    """`lines` lines since BEGAN about the registrants 1 to `people`, the same each time."""
    dice = random.Random(1)  # noqa: S311 — a benchmark, the same each time
    step = (NOW - BEGAN - timedelta(minutes=1)) / lines
    database.executemany(
        "INSERT INTO journal (at, level, kind, focus_group, registrant, message, data)"
        " VALUES (?,?,?,?,?,?,?)",
        (
            (stored(BEGAN + n * step), *made, json.dumps({"seconds": 0.31, "status": 200}))
            for n, made in enumerate(occurrences(dice, lines, groups=groups, people=people))
        ),
    )


def fill_runs(database: sqlite3.Connection, runs: int) -> None:
    """The runs of two busy jobs, the newest at NOW."""
    database.executemany(
        "INSERT INTO runs (job, started_at, seconds, did) VALUES (?,?,?,?)",
        (
            (("deliver_letters", "watch")[n % 2], stored(NOW - timedelta(seconds=15) * n), 0.1, "")
            for n in range(runs, 0, -1)
        ),
    )


def occurrences(
    dice: random.Random, lines: int, *, groups: Sequence[str], people: int
) -> Iterator[tuple[str, str, str | None, int | None, str]]:
    """(level, kind, group, person, message) of each line."""
    weights = [weight for _, _, weight, _, _ in USUAL]
    usual = [(kind, level, person, group) for kind, level, _, person, group in USUAL]
    for kind, level, person, group in [
        *(FIRST[n % len(FIRST)] for n in range(40)),
        *dice.choices(usual, weights, k=lines - 40),
    ]:
        yield (
            level,
            kind,
            dice.choice(groups) if group else None,
            dice.randint(1, people) if person else None,
            "what happened, in about as many words as such a line has",
        )


def stored(moment: datetime) -> str:
    """A time as SQLAlchemy writes it."""
    return f"{moment.replace(tzinfo=None):%Y-%m-%d %H:%M:%S.%f}"


def opened(folder: Path, lines: int) -> Service:
    """A service on a database of that many lines."""
    (folder / "campaign.toml").write_text(CAMPAIGN, encoding="utf-8")
    environ = {
        "CAMPAIGN_FILE": str(folder / "campaign.toml"),
        "DATABASE_URL": f"sqlite:///{folder}/journal-{lines}.db",
        "ZOOM_ACCOUNT_ID": "a",
        "ZOOM_CLIENT_ID": "b",
        "ZOOM_CLIENT_SECRET": "c",
        "WEBHOOKS": "off",
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    }
    service = open_service(
        load_settings(environ=environ, dotenv=folder / "no.env"), now=lambda: NOW
    )
    service.store.prepare()
    if service.store.path.stat().st_size < 1_000_000:
        fill(service.store.path, lines)
    return service


def signed_in(service: Service) -> TestClient:
    """A member of the staff."""
    client = TestClient(make_app(service), base_url="http://localhost:8000", follow_redirects=False)
    link = service.links.invitation("A", "reader", now=NOW, ends_at=NOW + timedelta(days=1))
    assert client.post(link).status_code == 303
    return client


def look(client: TestClient, query: str) -> tuple[float, str]:
    """One look at the listing, or at the line of that number: milliseconds, and the page."""
    began = time.perf_counter()
    page = client.get(f"/staff/journal{f'/{query}' if query.isdigit() else f'?{query}'}")
    took = (time.perf_counter() - began) * 1000
    assert page.status_code == 200, page.status_code
    return took, page.text


def plans(service: Service, client: TestClient, query: str) -> list[str]:
    """What SQLite makes of each different query that a look runs on the journal."""
    seen: dict[str, Any] = {}

    def note(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, _m: bool) -> None:
        if "FROM journal" in statement:
            seen.setdefault(statement, parameters)

    event.listen(service.store.engine, "before_cursor_execute", note)
    look(client, query)
    event.remove(service.store.engine, "before_cursor_execute", note)
    with service.store.read() as connection:
        return [
            "; ".join(
                row[3]
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            )
            for statement, parameters in seen.items()
        ]


def measure(folder: Path, lines: int, *, with_plans: bool) -> bool:
    """Print the table; whether every page came in time."""
    service = opened(folder, lines)
    client = signed_in(service)
    good = True
    say(f"{'filter':38} {'lines':>5} {'middle ms':>9} {'worst ms':>8}")
    for name, query in FILTERS:
        query = query.format(middle=lines // 2, last=lines - 5)
        looks = [look(client, query) for _ in range(LOOKS)]
        times = [took for took, _ in looks]
        shown = looks[0][1].count('class="line')
        note = " …" if "data-partial" in looks[0][1] else ""
        good &= max(times) < LONGEST_MS
        say(f"{name:38} {shown:5} {statistics.median(times):9.0f} {max(times):8.0f}{note}")
        if with_plans:
            for plan in plans(service, client, query):
                say(f"    {plan}")
    service.close()
    return good


def say(line: str) -> None:
    """One line of the table."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """The table, for the lines and the folder of the command line."""
    words = [word for word in sys.argv[1:] if word != "--plans"]
    lines = int(words[0]) if words else 1_000_000
    with_plans = "--plans" in sys.argv
    if len(words) > 1:
        folder = Path(words[1])
        folder.mkdir(parents=True, exist_ok=True)
        return 0 if measure(folder, lines, with_plans=with_plans) else 1
    with tempfile.TemporaryDirectory() as made:
        return 0 if measure(Path(made), lines, with_plans=with_plans) else 1


if __name__ == "__main__":
    sys.exit(main())
