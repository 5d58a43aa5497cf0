"""Who changes, removes or inserts an act in the journal is found by `check`; an erasure is not."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from resonance_zoom import acts, backups, privacy, restoring
from resonance_zoom.acts import Desk
from resonance_zoom.doctor import past_acts
from resonance_zoom.doctor.points import Patient, Verdict
from resonance_zoom.service import Service, open_zoom
from resonance_zoom.settings import Settings
from resonance_zoom.store import chain, journal
from resonance_zoom.store.migrations import upgrade
from resonance_zoom.store.opening import open_store
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock, Type
from tests.kept import run
from tests.sql import type_into

Look = Callable[..., Verdict]
Tamper = Callable[[str], None]


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service.store, service.campaign, service.now(), "alice")


@pytest.fixture
def look(settings: Settings, clock: Clock) -> Look:
    """What `check` says of the acts."""

    def looked(kept: str | None = None) -> Verdict:
        with open_zoom(settings, now=clock) as zoom:
            patient = Patient(settings=settings, now=clock, zoom=zoom, kept_head=kept)
            return past_acts.staff_acts(patient)

    return looked


@pytest.fixture
def past_the_service(service: Service) -> Tamper:
    """SQL typed into the database by somebody who can reach it."""

    def typed(script: str) -> None:
        type_into(service.store, script)

    return typed


@pytest.fixture
def five_acts(desk: Desk, clock: Clock) -> None:
    """Lines 1 to 5: pause, resume, pause, resume, pause. Line 6 is no act."""
    for number in range(5):
        (acts.resume if number % 2 else acts.pause)(desk)
    with desk.store.write() as connection:
        journal.note(connection, clock(), "service.started", "started")


def head_of(verdict: Verdict) -> str:
    return verdict.says.partition("; head ")[2]


INSERTED = (
    "INSERT INTO journal (at, level, kind, message, data)"
    " VALUES ('2021-01-11 10:00:00.000000', 'info', 'staff.pause', 'sending paused', '{}')"
)


def test_a_campaign_without_acts_has_nothing_to_find(service: Service, look: Look) -> None:
    assert look() == ("green", "0 acts, chain intact; head 0:", "", False)


@pytest.mark.usefixtures("five_acts")
def test_acts_that_nobody_touched_are_intact_and_their_head_is_told(look: Look) -> None:
    found = look()
    assert found.level == "green"
    assert found.says.startswith("5 acts, chain intact; head 5:")
    assert len(head_of(found)) == len("5:") + 64


@pytest.mark.usefixtures("five_acts")
@pytest.mark.parametrize(
    "change",
    [
        "at = '2021-01-11 10:00:00.000001'",
        "level = 'warning'",
        "focus_group = 'teletravail'",
        "registrant = 1",
        "message = 'sending paused (by bob)'",
        """data = '{"by": "bob"}'""",
    ],
)
def test_every_part_of_an_act_is_watched(change: str, past_the_service: Tamper, look: Look) -> None:
    past_the_service(f"UPDATE journal SET {change} WHERE id = 3")  # noqa: S608 — our own words
    found = look()
    assert found.level == "red"
    assert found.says == "5 acts; line 3 (staff.pause, 2021-01-11 10:00 UTC) was changed"
    assert "Keep a copy" in found.remedy


LINES_3_4 = (
    "line 3 (staff.pause, 2021-01-11 10:00 UTC) was changed;"
    " line 4 (staff.resume, 2021-01-11 10:00 UTC) was changed"
)


@pytest.mark.usefixtures("five_acts")
@pytest.mark.parametrize(
    ("deed", "says"),
    [
        (
            "UPDATE journal SET kind = 'service.behind' WHERE id = 3",
            "4 acts; line 3 (service.behind, 2021-01-11 10:00 UTC) was changed",
        ),
        ("DELETE FROM journal WHERE id = 3", "4 acts; line 3 was removed"),
        (
            "DELETE FROM journal WHERE id = 3; DELETE FROM staff_act_chain WHERE line = 3",
            "4 acts; entries 3 to 3 of the chain were removed",
        ),
        (INSERTED, "6 acts; line 7 (staff.pause, 2021-01-11 10:00 UTC) was inserted"),
        (
            "UPDATE journal SET id = 0 WHERE id = 3; UPDATE journal SET id = 3 WHERE id = 4;"
            "UPDATE journal SET id = 4 WHERE id = 0",
            "5 acts; " + LINES_3_4.replace("pause", "?").replace("resume", "pause")
            .replace("?", "resume"),
        ),
        (
            "DELETE FROM journal WHERE id > 3; DELETE FROM staff_act_chain WHERE entry > 3",
            "3 acts; the end was cut off: the chain has 3 entries, and had 5",
        ),
        (
            "DELETE FROM journal; DELETE FROM staff_act_chain",
            "0 acts; the end was cut off: the chain has 0 entries, and had 5",
        ),
        (
            "DELETE FROM meta WHERE key = 'staff_acts'",
            "5 acts; the noted end of the chain was removed",
        ),
        (
            "UPDATE staff_act_chain SET what = 'adopted' WHERE entry = 2",
            "5 acts; entry 2 of the chain, on line 2, was changed",
        ),
        (
            "UPDATE staff_act_chain SET salt = NULL WHERE entry = 3",
            "5 acts; line 3 (staff.pause, 2021-01-11 10:00 UTC) was changed",
        ),
    ],
    ids=[
        "kind", "line deleted", "line and entry deleted", "inserted", "swapped", "tail cut",
        "all cut", "head deleted", "entry", "salt",
    ],
)  # fmt: skip
def test_whoever_writes_past_the_service_is_found(
    deed: str, says: str, past_the_service: Tamper, look: Look
) -> None:
    past_the_service(deed)
    found = look()
    assert (found.level, found.says) == ("red", says)


@pytest.mark.usefixtures("five_acts")
def test_a_line_that_is_no_act_is_not_watched(past_the_service: Tamper, look: Look) -> None:
    past_the_service("UPDATE journal SET message = 'begun' WHERE id = 6")
    assert look().level == "green"


@pytest.mark.usefixtures("five_acts")
def test_a_chain_made_anew_is_found_by_the_head_that_somebody_kept(
    service: Service, past_the_service: Tamper, look: Look
) -> None:
    kept = head_of(look())
    past_the_service(
        "UPDATE journal SET message = 'nothing' WHERE id = 3;"
        "DELETE FROM staff_act_chain; DELETE FROM meta"
    )
    with service.store.write() as connection:
        chain.adopt(connection)
    assert look().level == "green"
    found = look(kept)
    assert found.level == "red"
    assert found.says == "5 acts; the chain does not go on from the head that was kept"


@pytest.mark.usefixtures("five_acts")
def test_a_kept_head_fits_for_as_long_as_nothing_but_acts_came_after_it(
    desk: Desk, look: Look
) -> None:
    kept = head_of(look())
    acts.resume(desk)
    assert look(kept).level == "green"
    assert look("0:").level == "green"
    for other in ("", "0:x", "4:" + kept[2:], "7:" + kept[2:], "five:x", "9" * 30 + ":"):
        assert look(other).level == "red", other


@pytest.mark.usefixtures("five_acts")
def test_a_chain_rewritten_with_its_links_does_not_end_as_was_noted(
    service: Service, past_the_service: Tamper, look: Look
) -> None:
    with service.store.read() as connection:
        noted = connection.execute(
            text("SELECT CAST(value AS TEXT) FROM meta WHERE key='staff_acts'")
        ).scalar()
    past_the_service(
        "UPDATE journal SET message = 'nothing' WHERE id = 5;"
        "DELETE FROM staff_act_chain; DELETE FROM meta"
    )
    with service.store.write() as connection:
        chain.adopt(connection)
    past_the_service(f"UPDATE meta SET value = '{noted}'")  # noqa: S608 — our own words
    assert look().says == "5 acts; the chain does not end as was noted after entry 5"


CUT = "DELETE FROM journal WHERE id IN (4, 5); DELETE FROM staff_act_chain WHERE entry > 3"
HEADLESS = "; UPDATE meta SET value = '[]' WHERE key = 'staff_acts'"
FORGED = (
    "INSERT INTO staff_act_chain (entry, what, line, salt, content, digest)"
    " VALUES (6, 'act', 6, 's', 'c', 'd')"
)


@pytest.mark.usefixtures("five_acts")
@pytest.mark.parametrize(
    ("deed", "says"),
    [
        (CUT, "4 acts; entries 4 to 5 of the chain were removed"),
        (
            FORGED,
            "6 acts; entry 6 of the chain, on line 6, was changed;"
            " entry 7 of the chain, on line 7, was changed;"
            " line 6 (service.started, 2021-01-11 10:00 UTC) was changed",
        ),
        (
            CUT + HEADLESS,
            "4 acts, chain intact",  # what only a kept head can show
        ),
    ],
    ids=["cut", "forged", "cut with its head"],
)
def test_acts_that_come_after_go_through_and_cover_nothing_up(
    deed: str, says: str, past_the_service: Tamper, desk: Desk, look: Look
) -> None:
    kept = head_of(look())
    past_the_service(deed)
    acts.resume(desk)
    assert look().says.partition("; head")[0] == says
    assert look(kept).level == "red"


@pytest.mark.usefixtures("five_acts")
def test_a_rewriting_that_no_erasure_explains_is_found(
    service: Service, desk: Desk, past_the_service: Tamper, look: Look
) -> None:
    past_the_service("UPDATE journal SET message = 'nothing' WHERE id = 3")
    with service.store.write() as connection:
        chain.rewritten(connection, 3)
    words = "line 3 was rewritten, and no erasure says why"
    assert look().says == f"5 acts; {words}"
    acts.resume(desk)
    assert look().says == f"6 acts; {words}"


def test_more_than_five_problems_are_counted(
    desk: Desk, past_the_service: Tamper, look: Look
) -> None:
    for _ in range(7):
        acts.pause(desk)
    past_the_service("DELETE FROM journal")
    assert look().says == (
        "0 acts; line 1 was removed; line 2 was removed; line 3 was removed; line 4 was removed;"
        " line 5 was removed; and 2 more"
    )


# ---- what may rewrite a line -----------------------------------------------------------------


@pytest.fixture
def given_up(service: Service, zoom: SimulatedZoom) -> int:
    """A registrant whose place was given up by an admin whose name here is an address."""
    run(service, "create_meetings")
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email="claire@example.org", first_name="Claire")
    run(service, "sync_registrants")
    desk = Desk(service.store, service.campaign, service.now(), "alice@example.org")
    acts.give_up_place(desk, service.zoom, 1, receipt=False)
    return 1


def entries(service: Service) -> list[tuple[str, bool]]:
    """(what, whether it has a salt) of every entry."""
    with service.store.read() as connection:
        found = connection.execute(
            text("SELECT what, salt IS NOT NULL FROM staff_act_chain ORDER BY entry")
        )
        return [(row[0], bool(row[1])) for row in found]


def test_an_erasure_takes_an_address_out_of_an_act_and_is_no_alarm(
    service: Service, desk: Desk, given_up: int, look: Look, past_the_service: Tamper
) -> None:
    before = head_of(look())
    privacy.erase(desk, service.zoom, given_up)
    found = look(before)
    assert found.level == "green"
    assert found.says.startswith("2 acts, chain intact; head 3:")
    assert entries(service) == [("act", False), ("rewritten", True), ("act", True)]
    past_the_service("UPDATE journal SET message = 'place given up' WHERE kind = 'staff.cancel'")
    assert "(staff.cancel, 2021-01-11 10:00 UTC) was changed" in look().says


def test_the_end_of_all_personal_data_is_no_alarm(
    service: Service, desk: Desk, given_up: int, look: Look, clock: Clock
) -> None:
    before = head_of(look())
    clock.to(2021, 6, 1)
    run(service, "purge_personal_data", "watch")
    assert look(before).level == "green"
    assert entries(service) == [("act", False), ("rewritten", True), ("act", True)]


@pytest.mark.of_a_file("a server restores its own backups")
def test_a_restore_that_erases_somebody_again_is_no_alarm_and_names_the_head_of_before(
    service: Service, desk: Desk, given_up: int, look: Look, tmp_path: Path
) -> None:
    backup = backups.make(service.store, tmp_path / "old.db")
    privacy.erase(desk, service.zoom, given_up)
    before = head_of(look())
    service.close()
    done = restoring.restore(service.store, backup, service.now(), by="alice")
    service.store.close()
    assert done.erased_again == 1
    found = look()
    assert found.level == "green"
    assert entries(service) == [("act", False), ("rewritten", True), ("act", True)]
    with service.store.read() as connection:
        data = connection.execute(
            text("SELECT data FROM journal WHERE kind = 'staff.restore'")
        ).scalar()
    assert json.loads(str(data))["head_before"] == before
    assert look(before).level == "red"


def test_old_technical_lines_go_and_old_acts_stay(
    service: Service, look: Look, clock: Clock
) -> None:
    with service.store.write() as connection:
        for kind in ("zoom.call", "staff.look"):
            journal.note(connection, clock(), kind, "looked", level=journal.DEBUG)
    clock.move(days=30)
    run(service, "watch")
    with service.store.read() as connection:
        kinds = connection.execute(text("SELECT kind FROM journal")).scalars().all()
    assert (kinds.count("zoom.call"), kinds.count("staff.look")) == (0, 1)
    assert look().level == "green"


# ---- where chains begin, and who writes at once ----------------------------------------------


def test_a_campaign_of_the_version_before_gets_its_chain_from_the_lines_it_has(
    tmp_path: Path,
) -> None:
    store = open_store(f"sqlite:///{tmp_path}/old.db")
    upgrade(store.engine, "0004")
    with store.write() as connection:
        for kind in ("staff.pause", "letter.sent", "staff.sign_in"):
            connection.execute(text(INSERTED.replace("staff.pause", kind)))
    store.prepare()
    with store.read() as connection:
        found = chain.examine(connection)
        what = connection.execute(text("SELECT what, line FROM staff_act_chain")).all()
    assert (found.acts, found.problems) == (2, ())
    assert [tuple(row) for row in what] == [("adopted", 1), ("adopted", 3)]
    store.close()


def test_acts_of_many_at_once_stand_in_one_chain(service: Service, look: Look) -> None:
    stores = [service.store, open_store(str(service.settings.database_url))]
    stores[1].require_current()

    def act(number: int) -> None:
        desk = Desk(stores[number % 2], service.campaign, service.now(), f"person {number}")
        for _ in range(5):
            acts.pause(desk)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stores[1].close()
    assert look().says.startswith("30 acts, chain intact; head 30:")


def test_check_tells_the_head_and_takes_one_that_was_kept(
    service: Service, types: Type, past_the_service: Tamper
) -> None:
    assert types("pause")[0] == 0

    def point(*words: str) -> dict[str, str]:
        _, out, _ = types("check", "--json", *words)
        return next(one for one in json.loads(out)["points"] if one["name"] == "staff acts")

    found = point()
    assert found["says"].startswith("1 act, chain intact; head 1:")
    kept = found["says"].partition("; head ")[2]
    assert types("resume")[0] == 0
    assert point("--kept", kept)["level"] == "green"
    past_the_service("DELETE FROM journal WHERE kind = 'staff.resume'")
    assert point()["says"] == "1 act; line 2 was removed"


@pytest.mark.of_a_file("a file is overwritten")
def test_a_database_that_cannot_be_read_is_told_once(service: Service, types: Type) -> None:
    service.close()
    service.store.path.write_bytes(b"no database" * 1000)
    _, out, _ = types("check", "--json")
    levels = {one["name"]: one["level"] for one in json.loads(out)["points"]}
    assert (levels["database"], levels["staff acts"]) == ("red", "orange")
