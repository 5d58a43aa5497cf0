"""A campaign of any size: people, four letters each, ten lines of the journal each.

Written by SQLite itself, which makes a million people in a minute; the same each time. A large one
is kept under var/bench, by the digest of how it was made.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from resonance_zoom.store import engine, people, tallies
from resonance_zoom.store.opening import open_store
from tests.bench import full_house
from tests.bench.bench_journal import BEGAN, USUAL, stored
from tests.bench.full_house import FIRST_NAMES, LAST_NAMES
from tests.conftest import Clock

NOW = datetime(2021, 2, 3, 12, tzinfo=UTC)  # the first group's reminder of seven days has gone
LETTERS, LINES = 4, 10  # of each person
BYTES_A_PERSON = 6_000  # on the disk, with all that is theirs
TABLES = ("registrants", "events", "letters", "journal")
PEOPLE = """
INSERT INTO registrants (id, focus_group, email_folded, email, registrant_id, first_name, last_name,
    status, join_url, episode, registered_at, approved_at, decided_ts, source, sought)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :people),
who AS (
    SELECT i, i % (:people * 7 / 10 + 1) AS person,
        CASE WHEN i % 100 < 88 THEN 'approved' WHEN i % 100 < 96 THEN 'cancelled'
             WHEN i % 100 < 98 THEN 'pending' ELSE 'denied' END AS status,
        strftime('%Y-%m-%d %H:%M:%S.000000', :began, '+' || (i * 50.0 / :people) || ' days') AS at
    FROM n
)
SELECT i, groups.slug, 'personne' || person || '@example.org', 'personne' || person || '@example.org',
    'R' || i, first.name, last.name || ' ' || person, status,
    'https://zoom.us/w/1?tk=exemple' || i || '.DQMAAAA&pwd=x', 1, at,
    CASE WHEN status IN ('approved', 'cancelled') THEN at END,
    strftime('%s', at) * 1000, iif(i % 20, 'webhook', 'sweep'),
    first.sought || ' ' || last.sought || ' ' || person || ' personne' || person || '@example.org'
FROM who JOIN temp.groups AS groups ON groups.n = i % 4
JOIN temp.first AS first ON first.n = person % :firsts
JOIN temp.last AS last ON last.n = person % :lasts
"""
EVENTS = """
INSERT INTO events (key, event, source, focus_group, email_folded, event_ts, received_at, status,
    registrant_id, email, first_name, last_name, join_url)
SELECT 'key-' || id, 'meeting.registration_created', source, focus_group, email_folded, decided_ts,
    registered_at, status, registrant_id, email, first_name, last_name, join_url
FROM registrants ORDER BY id
"""
OWED = """
INSERT INTO letters (registrant, focus_group, kind, occasion, episode, start_at, due_at,
    worth_until, state, ready_at, reason, detail, attempts, claimed_at, sent_at, message_id,
    created_at)
SELECT id, focus_group, kinds.kind, coalesce(kinds.occasion, strftime('%Y-%m-%dT%H:%MZ', start_at)),
    1, start_at, registered_at, end_at, fates.state,
    iif(fates.state = 'queued', :later, registered_at), fates.reason, fates.said, 1, registered_at,
    iif(fates.state = 'sent', registered_at, NULL), '<' || id || '.' || kinds.n || '@example.org>',
    registered_at
FROM registrants JOIN temp.kinds AS kinds
JOIN temp.groups AS groups ON groups.slug = focus_group
JOIN temp.fates AS fates ON fates.n = (id * 619 + kinds.n * 131) % 1000
ORDER BY id, kinds.n
"""
JOURNAL = """
INSERT INTO journal (at, level, kind, focus_group, registrant, message, data)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :people * :lines)
SELECT strftime('%Y-%m-%d %H:%M:%S.000000', :began, '+' || (i * 64.0 / :lines / :people) || ' days'),
    level, kind, iif(grouped, groups.slug, NULL), iif(personal, 1 + i * 48271 % :people, NULL),
    'what happened, in about as many words as such a line has', '{"seconds": 0.31, "status": 200}'
FROM n JOIN temp.usual AS usual ON usual.n = i * 7919 % 10000
JOIN temp.groups AS groups ON groups.n = i % 4
"""
# As many in every campaign: a page that is full in one of them only would compare nothing.
ERRORS = """
INSERT INTO journal (at, level, kind, focus_group, message, data)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
SELECT :newest, 'error', 'clock.held', groups.slug, 'all letters are held', '{}'
FROM n JOIN temp.groups AS groups ON groups.n = i % 4
"""
KINDS = (
    (0, "confirmation", "episode 1"),
    (1, "reminder-7", None),  # of the meeting's start
    (2, "reminder-1", None),
    (3, "moved", None),
)
FATES = (  # of a thousand letters
    *[("sent", None, "250 2.0.0 Ok: queued as 4F2A1C0")] * 955,
    *[("failed", "refused", "550 5.1.1 mailbox unavailable")] * 20,
    *[("dropped", "too_late", "the mail server was down")] * 15,
    *[("queued", "deferred", "451 4.7.1 greylisted")] * 10,
)


def folder_of(size: int, kept: Path) -> Path:
    """Where the campaign of that size is, whether it was made or not."""
    made_by = Path(__file__).read_bytes() + Path(full_house.__file__).read_bytes()
    digest = hashlib.sha256(made_by).hexdigest()[:8]
    return kept / f"growth-{size}-{engine.HEAD}-{digest}"


def fits(size: int, kept: Path) -> bool:
    """Whether the disk has room for it, with as much again to spare."""
    return shutil.disk_usage(kept).free > 2 * size * BYTES_A_PERSON


def make(size: int, folder: Path) -> None:
    """Make it, under its name only when it is whole."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    full_house.begun(part, Clock(BEGAN)).close()
    with closing(sqlite3.connect(part / "resonance.db", isolation_level=None)) as database:
        _fill(database, size)
    store = open_store(f"sqlite:///{(part / 'resonance.db').resolve()}")
    with store.write() as connection:
        tallies.keep_count(connection)
    store.close()
    for older in folder.parent.glob(f"growth-{size}-*"):
        if older != part:
            shutil.rmtree(older)
    part.rename(folder)


def _fill(database: sqlite3.Connection, size: int) -> None:
    for pragma in ("journal_mode=MEMORY", "synchronous=OFF", "cache_size=-400000"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("BEGIN")
    _lists(database)
    values = {
        "people": size,
        "lines": LINES,
        "began": stored(BEGAN),
        "newest": stored(NOW),
        "later": stored(NOW.replace(hour=23)),
        "firsts": len(FIRST_NAMES),
        "lasts": len(LAST_NAMES),
    }
    marks = ", ".join("?" * len(TABLES))
    indexes = database.execute(
        f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({marks})",  # noqa: S608 — question marks
        TABLES,
    ).fetchall()
    triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in indexes:  # sorted once at the end they cost a fifth
        database.execute(f"DROP INDEX {name}")
    for (name,) in triggers:  # what they keep is counted at the end
        database.execute(f"DROP TRIGGER {name}")
    for statement in (PEOPLE, EVENTS, OWED, JOURNAL, ERRORS):
        database.execute(statement, values)
    for _, sql in indexes:
        database.execute(sql)
    database.execute("COMMIT")
    database.execute("PRAGMA journal_mode=WAL")


def _lists(database: sqlite3.Connection) -> None:
    """What rows are drawn from, by number."""
    meetings = database.execute("SELECT focus_group, start_at, end_at FROM meetings ORDER BY 2")
    usual = [
        (level, kind, person, group)
        for kind, level, often, person, group in USUAL
        for _ in range(often)
    ]
    lists = {
        "groups (n INTEGER PRIMARY KEY, slug, start_at, end_at)": _numbered(meetings.fetchall()),
        "first (n INTEGER PRIMARY KEY, name, sought)": _names(FIRST_NAMES),
        "last (n INTEGER PRIMARY KEY, name, sought)": _names(LAST_NAMES),
        "kinds (n INTEGER PRIMARY KEY, kind, occasion)": KINDS,
        "fates (n INTEGER PRIMARY KEY, state, reason, said)": _numbered(FATES),
        "usual (n INTEGER PRIMARY KEY, level, kind, personal, grouped)": _numbered(
            (usual * (10_000 // len(usual) + 1))[:10_000]
        ),
    }
    for table, rows in lists.items():
        name = table.partition(" ")[0]
        database.execute(f"CREATE TEMP TABLE {table}")
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO temp.{name} VALUES ({marks})", rows)  # noqa: S608 — names of ours


def _names(names: Sequence[str]) -> list[tuple[object, ...]]:
    return _numbered([(name, people.sought(name)) for name in names])


def _numbered(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [(number, *row) for number, row in enumerate(rows)]
