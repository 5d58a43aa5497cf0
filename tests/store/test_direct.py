"""The short way to the driver finds and keeps what SQLAlchemy's own way does."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, select

from resonance_zoom.service import Service
from resonance_zoom.store.direct import find, insert_many, update_many
from resonance_zoom.store.tables import UtcDateTime, journal

BEGAN = datetime(2021, 1, 11, 9, 50, tzinfo=UTC)
KINDS = (
    select(journal)
    .where(
        journal.c.kind.in_(bindparam("kinds", expanding=True)),
        journal.c.at < bindparam("before", type_=UtcDateTime()),
        journal.c.level == "info",
    )
    .order_by(journal.c.id)
)


def lines(count: int) -> list[dict[str, object]]:
    return [
        {
            "at": BEGAN + timedelta(minutes=number),
            "level": "debug" if number == 2 else "info",
            "kind": f"kind {number}",
            "focus_group": None,
            "message": "é’",
            "data": {"number": number},
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("asked", [1, 2, 3, 4, 5, 8, 9, 100])
def test_what_is_found_is_what_sqlalchemy_finds(service: Service, asked: int) -> None:
    kinds = [f"kind {number}" for number in range(asked)]
    values = {"kinds": kinds, "before": BEGAN + timedelta(minutes=90)}
    with service.store.write() as connection:
        insert_many(connection, journal, lines(120))
        ours = find(connection, KINDS, values)
        theirs = connection.execute(KINDS, values).all()
    assert [tuple(row) for row in ours] == [tuple(row) for row in theirs]
    numbers = [row.data["number"] for row in ours]
    assert numbers == [number for number in range(min(asked, 90)) if number != 2]
    assert [row.at for row in ours] == [BEGAN + timedelta(minutes=number) for number in numbers]


def test_an_update_of_many_rows_keeps_what_the_statement_fixes(service: Service) -> None:
    statement = (
        journal.update()
        .where(journal.c.kind == bindparam("its_kind"), journal.c.level == "info")
        .values(level="warning", at=bindparam("moment", type_=UtcDateTime()), data={"new": True})
    )
    with service.store.write() as connection:
        insert_many(connection, journal, lines(4))
        moved = [{"its_kind": f"kind {number}", "moment": BEGAN} for number in (1, 2, 3)]
        update_many(connection, statement, moved)
        found = connection.execute(
            select(journal.c.level, journal.c.at, journal.c.data)
            .where(journal.c.kind.like("kind %"))
            .order_by(journal.c.id)
        ).all()
    late = BEGAN + timedelta(minutes=2)
    assert [tuple(row) for row in found] == [
        ("info", BEGAN, {"number": 0}),
        ("warning", BEGAN, {"new": True}),
        ("debug", late, {"number": 2}),
        ("warning", BEGAN, {"new": True}),
    ]
