"""A campaign may grow a thousandfold: no tick, no claim and no page reads a table from end to end."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from resonance_zoom.service import Service
from tests.bench import crowd, growth
from tests.mail_server import MailServer

pytestmark = pytest.mark.of_a_file("asks SQLite how it would read")

# Tables that stay small however many people register; the last three are made in passing.
SMALL = {
    "meetings",
    "meta",
    "tallies",
    "sessions",
    "spent",
    "tombstones",
    "anon_1",
    "kinds",
    "days_1",
}
OF_A_STATE = "queue|due|sending|failed|dropped|in_doubt"  # indices that hold those letters alone
SCAN = re.compile(
    rf"SCAN ([a-z]\w+)\b(?! USING INDEX (ix_letters_({OF_A_STATE})|ix_registrants_pending)\b)"
)
READ_ALL_THE_SAME = {
    r"FROM registrants WHERE registrants.email != \? ORDER BY registrants.id DESC LIMIT":
        "the newest hundred, in the order of their numbers",
    r"ORDER BY letters.id DESC LIMIT":
        "the newest hundred, in the order of their numbers, of all or of a common name",
    r"FROM registrants WHERE .*registrants.sought LIKE .* LIMIT":
        "what was heard on the telephone may stand in the middle of a name; until a page is full",
}  # fmt: skip


@pytest.fixture
def house(tmp_path: Path, mail_server: MailServer) -> Iterator[growth.House]:
    """80 people with their letters and their journal, a member of the staff signed in."""
    crowd.make(80, crowd.folder_of(80, tmp_path))
    with growth._house(80, tmp_path, mail_server.url) as house:
        yield house


def plans(house: growth.House) -> Iterator[tuple[str, str]]:
    """Each step of SQLite's plans for all that is looked at, and by what, with its statement."""
    for look in growth._looks(house, house, relay=True):
        look.do(house)
        for statement, parameters, _ in growth._statements(look, house):
            words = " ".join(statement.split())
            for step in explained(house.service, statement, parameters):
                yield step, f"{look.name}: {words}"


def explained(service: Service, statement: str, parameters: object) -> list[str]:
    if statement.split()[0] not in {"SELECT", "UPDATE", "DELETE", "INSERT", "WITH"}:
        return []
    with service.store.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
        return [row[3] for row in rows]


def whole_tables_read(house: growth.House) -> list[str]:
    return [
        f"{step}: {words}"
        for step, words in plans(house)
        if (scanned := SCAN.match(step)) and scanned[1] not in SMALL and not excused(words)
    ]


def excused(words: str) -> bool:
    return any(re.search(known, words) for known in READ_ALL_THE_SAME)


def test_nothing_reads_a_whole_table(house: growth.House) -> None:
    assert whole_tables_read(house) == []


@pytest.mark.parametrize("index", ["ix_letters_sending", "ix_events_person"])
def test_without_an_index_something_would(house: growth.House, index: str) -> None:
    with house.service.store.write() as connection:
        connection.exec_driver_sql(f"DROP INDEX {index}")
    assert whole_tables_read(house) != []


def test_each_index_is_of_use(house: growth.House) -> None:
    used = {name for step, _ in plans(house) for name in re.findall(r"INDEX (ix_\w+)", step)}
    assert used >= {
        "ix_letters_due",
        "ix_letters_queue",
        "ix_letters_sending",
        "ix_letters_failed",
        "ix_letters_in_doubt",
        "ix_registrants_email",
        "ix_registrants_pending",
        "ix_events_person",
        "ix_journal_kind",
        "ix_journal_registrant",
    }
