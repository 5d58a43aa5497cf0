"""The database counts as it changes: the tallies always say what counting would."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, insert, select, update

from resonance_zoom.service import Service
from resonance_zoom.store import erasure, outbox, tallies
from resonance_zoom.store.direct import insert_many
from resonance_zoom.store.tables import letters, registrants

BEGAN = datetime(2021, 1, 11, 9, 50, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
START = datetime(2021, 2, 9, 8, tzinfo=UTC)


def person(
    number: int, group: str, status: str = "approved", minutes: int = 0
) -> dict[str, object]:
    address = f"person{number}@example.org"
    return {
        "focus_group": group,
        "email_folded": address,
        "email": address,
        "registrant_id": f"R{number}",
        "first_name": "Élise",
        "last_name": "Martin",
        "status": status,
        "join_url": None,
        "episode": 1,
        "registered_at": BEGAN + timedelta(minutes=minutes),
        "approved_at": BEGAN,
        "decided_ts": 1,
        "source": "webhook",
    }


def test_people_are_counted_once_however_many_groups_they_come_to(service: Service) -> None:
    with service.store.write() as connection:
        insert_many(
            connection, registrants, [person(1, "a"), person(1, "b"), person(2, "a", "pending")]
        )

        assert tallies.registrations(connection) == {
            "a": {"approved": 1, "pending": 1},
            "b": {"approved": 1},
        }
        assert tallies.people(connection, "approved") == 1
        assert tallies.with_a_name(connection) == (3, 2)
        assert tallies.with_a_name(connection, "a") == (2, 2)
        assert tallies.with_a_name(connection, status="approved") == (2, 1)


def test_a_registration_stands_on_its_local_day(service: Service) -> None:
    """In Kathmandu the eleventh of January ends at 18:15 UTC, in Paris at 23:00."""
    with service.store.write() as connection:
        late, later = (8 * 60 + 20, 8 * 60 + 25)  # 18:10 and 18:15 UTC
        insert_many(connection, registrants, [person(1, "a", minutes=late), person(2, "a", minutes=later), person(3, "b")])  # fmt: skip

        assert sorted(tallies.by_day(connection, ZoneInfo("Asia/Kathmandu"))) == [
            (date(2021, 1, 11), "a", 1),
            (date(2021, 1, 11), "b", 1),
            (date(2021, 1, 12), "a", 1),
        ]
        assert sorted(tallies.by_day(connection, ZoneInfo("Europe/Paris"))) == [
            (date(2021, 1, 11), "a", 2),
            (date(2021, 1, 11), "b", 1),
        ]


def test_the_day_on_which_clocks_change_is_a_day(service: Service) -> None:
    with service.store.write() as connection:
        minutes = int((datetime(2021, 3, 28, 22, 30, tzinfo=UTC) - BEGAN).total_seconds() / 60)
        insert_many(connection, registrants, [person(1, "a", minutes=minutes - 24 * 60), person(2, "a", minutes=minutes)])  # fmt: skip

        assert sorted(tallies.by_day(connection, ZoneInfo("Europe/Paris"))) == [
            (date(2021, 3, 27), "a", 1),
            (date(2021, 3, 29), "a", 1),
        ]


def test_who_is_erased_has_no_name_and_stays_a_registration(service: Service) -> None:
    with service.store.write() as connection:
        insert_many(connection, registrants, [person(1, "a"), person(2, "a")])
        erasure.forget(connection, connection.execute(select(registrants)).first())

        assert tallies.registrations(connection) == {"a": {"approved": 1, "cancelled": 1}}
        assert tallies.with_a_name(connection) == (1, 1)


def test_whatever_happens_they_say_what_counting_would(service: Service) -> None:
    draw = random.Random(1)  # noqa: S311 — it must repeat, not surprise
    with service.store.write() as connection:
        for _ in range(150):
            _something_happens(connection, draw)
            assert _kept(connection) == _counted(connection)
        tallies.keep_count(connection)  # counted anew, it is the same
        assert _kept(connection) == _counted(connection)


def test_the_triggers_are_there(service: Service) -> None:
    with service.store.read() as connection:
        found = tallies.triggers(connection)
    expected = {"tally_registrants", "tally_letters"}
    if service.settings.database_file is not None:
        expected = {
            f"{table}_{event}" for table in expected for event in ("added", "changed", "gone")
        }
    assert found == expected


def _something_happens(connection: Connection, draw: random.Random) -> None:
    ids = list(connection.scalars(select(registrants.c.id)))
    status = draw.choice(["approved", "pending", "denied", "cancelled"])
    match draw.choice("nnnnscledgo" if ids else "n"):
        case "n":  # somebody new, or one who is there for another group
            taken = set(
                connection.execute(select(registrants.c.email_folded, registrants.c.focus_group))
            )
            rows = [
                person(number, group, status, draw.randrange(500))
                for number, group in sorted(
                    {(draw.randrange(12), draw.choice("abc")) for _ in range(3)}
                )
            ]
            insert_many(
                connection,
                registrants,
                [row for row in rows if (row["email_folded"], row["focus_group"]) not in taken],
            )
        case "s":
            connection.execute(
                update(registrants)
                .where(registrants.c.id == draw.choice(ids))
                .values(status=status)
            )
        case "c":  # all of a group at once
            connection.execute(
                update(registrants)
                .where(registrants.c.focus_group == draw.choice("abc"))
                .values(status=status)
            )
        case "l":
            outbox.owe_reminder(
                connection,
                focus_group=draw.choice("abc"),
                kind="reminder-7",
                start_at=START,
                due_at=START,
                worth_until=START,
                now=BEGAN,
            )
        case "e":
            erasure.forget(
                connection,
                connection.execute(
                    select(registrants).where(registrants.c.id == draw.choice(ids))
                ).first(),
            )
        case "d":
            connection.execute(
                update(letters)
                .where(letters.c.registrant == draw.choice(ids))
                .values(state="dropped", reason="cancelled")
            )
        case "g":
            last = draw.choice(ids)
            connection.execute(delete(letters).where(letters.c.registrant == last))
            connection.execute(delete(registrants).where(registrants.c.id == last))
        case "o":
            values = {
                "registrant": draw.choice(ids),
                "focus_group": "a",
                "kind": "confirmation",
                "occasion": f"{draw.random()}",
                "episode": 1,
                "start_at": START,
                "due_at": START,
                "worth_until": START,
                "state": "queued",
                "ready_at": START,
                "created_at": BEGAN,
            }
            connection.execute(insert(letters).values(values))


def _kept(connection: Connection) -> tuple[object, ...]:
    return (
        {
            k: {s: n for s, n in of.items() if n}
            for k, of in tallies.registrations(connection).items()
        },
        {
            s: tallies.people(connection, s)
            for s in ("", "approved", "pending", "denied", "cancelled")
        },
        sorted(tallies.by_day(connection, PARIS)),
        tallies.letters(connection),
        tallies.with_a_name(connection),
    )


def _counted(connection: Connection) -> tuple[object, ...]:
    rows = connection.execute(select(registrants)).all()
    groups: dict[str, Counter[str]] = {}
    days: Counter[tuple[date, str]] = Counter()
    people: dict[str, set[str]] = {
        s: set() for s in ("", "approved", "pending", "denied", "cancelled")
    }
    for row in rows:
        groups.setdefault(row.focus_group, Counter())[row.status] += 1
        days[row.registered_at.astimezone(PARIS).date(), row.focus_group] += 1
        if row.email:
            people[row.status].add(row.email_folded)
            people[""].add(row.email_folded)
    written = connection.execute(select(letters.c.focus_group, letters.c.kind, letters.c.state))
    return (
        {group: dict(of) for group, of in groups.items()},
        {status: len(theirs) for status, theirs in people.items()},
        sorted((day, group, n) for (day, group), n in days.items()),
        dict(Counter(written)),
        (sum(bool(row.email) for row in rows), len(people[""])),
    )
