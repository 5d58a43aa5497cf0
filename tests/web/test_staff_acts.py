"""Every act of the staff asks once, acts once, and says what it did and no more than that."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from resonance_zoom import acts, privacy
from resonance_zoom.acts import Desk
from resonance_zoom.errors import NotFound
from resonance_zoom.store.tables import journal
from resonance_zoom.zoom.client import ZoomClient
from tests.conftest import Clock
from tests.web.town import Town, text

Staff = Callable[..., TestClient]


@pytest.fixture
def alice(town: Town) -> int:
    number = town.register("alice", "Alice", "Martin")
    town.run("deliver_letters")
    return number


class Desktop:
    """A member of the staff who opens the page of an act and, later, presses its button."""

    def __init__(self, browser: TestClient, act: str, subject: Any = "-") -> None:
        self.browser = browser
        self.address = f"/staff/act/{act}/{subject}"
        self.page = browser.get(self.address).text
        self.form = {name: self._hidden(name) for name in ("csrf", "once")}

    def _hidden(self, name: str) -> str:
        return self.page.partition(f'name="{name}" value="')[2].partition('"')[0]

    def press(self, value: str = "") -> str:
        """What the next page says of it."""
        answer = self.browser.post(self.address, data={**self.form, "value": value})
        self.status = answer.status_code
        if answer.status_code == 303:
            answer = self.browser.get(answer.headers["location"])
            assert answer.status_code == 200
        return text(answer.text)


def desk(town: Town) -> Desk:
    return Desk(town.service.store, town.service.campaign, town.service.now(), "Claire")


def test_two_of_the_staff_send_one_copy_of_a_letter(town: Town, staff: Staff, alice: int) -> None:
    one = Desktop(staff("admin"), "resend", 1)
    assert "Une seconde copie partira." in text(one.page)
    other = Desktop(staff("admin", "Bob"), "resend", 1)
    assert "Le courrier part dans les secondes qui viennent." in one.press()
    assert "Rien n’a été fait" in other.press()
    town.run("deliver_letters")
    assert len(town.mail_server.to("alice@example.org")) == 2
    assert "Le courrier part" in Desktop(staff("admin"), "resend", 1).press()


def test_two_of_the_staff_give_up_a_place_once(town: Town, staff: Staff, alice: int) -> None:
    one = Desktop(staff("admin"), "withdraw", alice)
    other = Desktop(staff("admin", "Bob"), "withdraw", alice)
    assert "La place est rendue." in one.press()
    assert "no place is held" in other.press()
    town.run("deliver_letters")
    kinds = [letter.kind for letter in town.mail_server.to("alice@example.org")]
    assert kinds == ["confirmation", "withdrawn"]


@pytest.mark.parametrize("act", ["resend", "drop", "withdraw", "address", "erase"])
def test_what_is_not_there_cannot_be_acted_on(
    town: Town, staff: Staff, alice: int, act: str
) -> None:
    bob = staff("admin")
    form = {**Desktop(bob, "pause").form, "value": "other@example.org"}
    for subject in ("²", "-1", "x", "999", "9" * 18, "9" * 30, "٣", "1.0"):
        assert bob.get(f"/staff/act/{act}/{subject}").status_code == 404
        assert bob.post(f"/staff/act/{act}/{subject}", data=form).status_code == 404


@pytest.mark.parametrize(
    ("act", "subject"),
    [("resend", 1), ("drop", 1), ("withdraw", 1), ("address", 1), ("erase", 1)],
)
def test_nobody_acts_for_who_was_erased(
    town: Town, staff: Staff, alice: int, act: str, subject: int
) -> None:
    bob = staff("admin")
    asked = Desktop(bob, act, subject)
    privacy.erase(desk(town), town.service.zoom, alice)
    assert bob.get(f"/staff/act/{act}/{subject}").status_code == 404
    assert "n’existe pas, ou plus" in asked.press("other@example.org")
    assert town.query("SELECT count(*) FROM letters WHERE state = 'queued'")[0][0] == 0
    assert town.query("SELECT email FROM registrants")[0][0] == ""


@pytest.mark.parametrize(
    "address", ["", "alice", "alice@", "a b@example.org", "x@y@example.org", "<a@example.org>"]
)
def test_an_address_that_nobody_could_be_written_to_is_refused(
    town: Town, staff: Staff, alice: int, address: str
) -> None:
    asked = Desktop(staff("admin"), "address", alice)
    assert "Rien n’a été fait" in asked.press(address)
    assert asked.status == 409
    assert len(town.zoom.meetings[town.meetings[0]].registrants) == 1


def test_a_form_with_what_no_database_can_hold_is_read_without_it(
    town: Town, staff: Staff, alice: int
) -> None:
    """PostgreSQL knows no NUL; no keyboard types one."""
    asked = Desktop(staff("admin"), "address", alice)
    asked.form["once"] += "\0"
    asked.press("a.mar\0tin@example.org")
    assert asked.status == 303
    town.run("sync_registrants")
    assert town.number("a.martin") != alice


@pytest.mark.parametrize("end", ["erase", "purge"])
def test_what_an_act_said_and_nobody_saw_is_erased_as_well(
    town: Town, staff: Staff, alice: int, clock: Clock, end: str
) -> None:
    bob = staff("admin")
    asked = Desktop(bob, "address", alice)
    bob.post(asked.address, data={**asked.form, "value": "a.martin@example.org"})
    assert "a.martin" in repr(town.query("SELECT said FROM sessions"))
    town.run("sync_registrants")
    if end == "erase":
        privacy.erase(desk(town), town.service.zoom, town.number("a.martin"))
    else:
        clock.to(2021, 4, 14, 22)
        privacy.purge(desk(town))
    assert town.query("SELECT said FROM sessions")[0][0] is None


def test_a_correction_that_zoom_did_half_is_not_told_as_nothing(
    town: Town, staff: Staff, alice: int
) -> None:
    asked = Desktop(staff("admin"), "address", alice)
    town.zoom.faults.api("meetingregistrantdelete", kind="429-daily")
    said = asked.press("a.martin@example.org")
    assert "Rien n’a été fait" not in said
    assert "Inscription refaite sous a.martin@example.org" in said
    assert "L’ancienne n’a pas pu être supprimée" in said
    assert len(town.zoom.meetings[town.meetings[0]].registrants) == 2


def test_no_address_is_corrected_for_a_meeting_that_is_over(
    town: Town, staff: Staff, alice: int, clock: Clock
) -> None:
    clock.to(2021, 2, 9, 10, 1)
    assert "the meeting is over" in Desktop(staff("admin"), "address", alice).press("b@example.org")


def test_a_question_names_the_person_and_the_meeting_by_its_title(
    town: Town, staff: Staff, alice: int
) -> None:
    nameless = town.register("bob")
    with town.service.store.write() as connection:
        connection.exec_driver_sql(
            f"UPDATE registrants SET first_name = '', last_name = '' WHERE id = {nameless}"  # noqa: S608 — a number of ours
        )
    for act, subject in (("resend", 1), ("drop", 1), ("withdraw", alice), ("address", alice)):
        asked = text(Desktop(staff("admin"), act, subject).page)
        assert "Alice Martin (alice@example.org)" in asked
        assert "« Accompagner le développement du télétravail »" in asked
    asked = text(Desktop(staff("admin"), "withdraw", nameless).page)
    assert asked.count("bob@example.org") == 1


def test_an_unknown_act_is_missing(staff: Staff) -> None:
    bob = staff("admin")
    assert bob.get("/staff/act/explode/1").status_code == 404
    assert bob.post("/staff/act/explode/1", data=Desktop(bob, "pause").form).status_code == 404


def test_each_act_is_in_the_journal_under_the_name_of_who_did_it(
    town: Town, staff: Staff, alice: int
) -> None:
    for act, subject in (("pause", "-"), ("resume", "-"), ("sync", "-"), ("resend", 1),
                         ("drop", 2), ("withdraw", alice), ("erase", alice)):  # fmt: skip
        Desktop(staff("admin", "Zoé"), act, subject).press()
    with town.service.store.read() as connection:
        lines = select(journal).where(journal.c.kind.startswith("staff.")).order_by(journal.c.id)
        rows = connection.execute(lines).all()
    done = [row.kind for row in rows if row.kind != "staff.sign_in"]
    assert done == [
        "staff.pause",
        "staff.resume",
        "staff.sync",
        "staff.resend",
        "staff.drop",
        "staff.cancel",
        "staff.erase",
    ]
    assert {row.data["by"] for row in rows} == {"Zoé"}


def test_acts_wake_the_jobs_that_carry_them_out(town: Town, staff: Staff, alice: int) -> None:
    woken: list[str] = []
    town.service.wake = woken.append
    expected = {
        ("resume", "-"): ["deliver_letters"],
        ("sync", "-"): ["create_meetings", "sync_registrants"],
        ("resend", 1): ["deliver_letters"],
        ("withdraw", alice): ["deliver_letters"],
        ("erase", alice): ["back_up_database"],
    }
    for (act, subject), jobs in expected.items():
        Desktop(staff("admin"), act, subject).press()
        assert woken == jobs
        woken.clear()


class BusyZoom:
    """Zoom, so slow with a deletion that something else happens before or after it."""

    def __init__(
        self,
        zoom: ZoomClient,
        *,
        before: Callable[[], object] = bool,
        after: Callable[[], object] = bool,
    ) -> None:
        self.zoom, self.before, self.after = zoom, before, after
        self.add_registrant = zoom.add_registrant
        self.registrant_pages = zoom.registrant_pages

    def delete_registrant(self, meeting_id: int, registrant_id: str) -> None:
        self.before()
        self.zoom.delete_registrant(meeting_id, registrant_id)
        self.after()


def test_who_gives_up_a_place_twice_at_once_is_not_told_that_zoom_is_down(
    town: Town, alice: int
) -> None:
    def the_first_click() -> None:
        acts.give_up_place(desk(town), town.service.zoom, alice, receipt=True)

    zoom = BusyZoom(town.service.zoom, before=the_first_click)
    with pytest.raises(NotFound, match="no place is held"):
        acts.give_up_place(desk(town), zoom, alice, receipt=True)


def test_a_place_given_up_while_the_person_is_erased_brings_nobody_back(
    town: Town, alice: int
) -> None:
    def somebody_erases_her() -> None:
        privacy.erase(desk(town), town.service.zoom, alice)

    zoom = BusyZoom(town.service.zoom, after=somebody_erases_her)
    with pytest.raises(NotFound, match="erased meanwhile"):
        acts.give_up_place(desk(town), zoom, alice, receipt=True)
    assert town.query("SELECT count(*) FROM registrants WHERE email != ''")[0][0] == 0
    assert town.query("SELECT count(*) FROM events")[0][0] == 0


def test_an_address_corrected_while_the_place_is_given_up_is_corrected(
    town: Town, alice: int
) -> None:
    def somebody_else_gives_it_up() -> None:
        acts.give_up_place(desk(town), town.service.zoom, alice, receipt=False)

    zoom = BusyZoom(town.service.zoom, before=somebody_else_gives_it_up)
    assert acts.correct_address(desk(town), zoom, alice, "a.martin@example.org")
