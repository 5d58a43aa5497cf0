"""Notifications that share a transaction have the effect that they would have one by one."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import structlog
from sqlalchemy import select
from structlog.testing import LogCapture

from resonance_zoom.service import Service
from resonance_zoom.settings import Secret
from resonance_zoom.store.tables import events, letters, registrants
from resonance_zoom.web import webhooks
from resonance_zoom.zoom.payloads import Notification, Registrant
from resonance_zoom.zoom.protocol import Verified
from resonance_zoom.zoom.simulator import SimMeeting
from tests.conftest import WEBHOOK_SECRET, Clock
from tests.faults.conftest import ZoomCalls

STATUS = {"created": "approved", "cancelled": "cancelled"}


def call(
    meeting: SimMeeting, clock: Clock, word: str, second: int, *, who: str = "alice", id_: str = "r"
) -> webhooks.Call:
    """`registration_<word>` as of a second after now."""
    link = f"https://zoom.us/w/1?tk={who}{id_}" if word == "created" else None
    person = Registrant(id_, f"{who}@example.org", who.title(), "", STATUS[word], link)
    stamp = int(clock.seconds() + second) * 1000
    said = Notification(f"meeting.registration_{word}", stamp, meeting.id, person)
    return webhooks.Call(said, Verified(0, stale=False))


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_all_that_happened_to_somebody_new_may_come_in_one_group_in_any_order(
    service: Service, meeting: SimMeeting, clock: Clock, order: tuple[int, ...]
) -> None:
    """She registered, cancelled and registered anew."""
    told = [
        call(meeting, clock, "created", 0),
        call(meeting, clock, "cancelled", 5, id_="r"),
        call(meeting, clock, "created", 9, id_="again"),
    ]
    webhooks.keep(service, [told[number] for number in order])
    (alice,) = rows(service, registrants)
    assert (alice.status, alice.episode, alice.registrant_id) == ("approved", 2, "again")
    assert alice.join_url == "https://zoom.us/w/1?tk=aliceagain"
    assert len(rows(service, events)) == 3
    owed = [row.occasion for row in rows(service, letters)]
    assert owed.count("episode 2") == 1


def test_a_cancellation_in_the_group_of_its_registration_leaves_nobody_registered(
    service: Service, meeting: SimMeeting, clock: Clock
) -> None:
    told = [call(meeting, clock, "cancelled", 5), call(meeting, clock, "created", 0)]
    woken = webhooks.keep(service, told)
    assert [row.status for row in rows(service, registrants)] == ["cancelled"]
    assert rows(service, letters) == []
    assert woken == [(), ()]


def test_one_that_comes_twice_in_a_group_is_kept_once(
    service: Service, meeting: SimMeeting, clock: Clock
) -> None:
    woken = webhooks.keep(service, [call(meeting, clock, "created", 0)] * 2)
    assert woken == [("deliver_letters",), ()]
    assert (len(rows(service, events)), len(rows(service, letters))) == (1, 1)


def test_two_people_of_whom_zoom_gives_no_number_are_two(
    service: Service, meeting: SimMeeting, clock: Clock
) -> None:
    """The host approved both with one click: one stamp, and only the address tells them apart."""
    people = ("alice", "bob")
    webhooks.keep(service, [call(meeting, clock, "created", 0, who=who, id_="") for who in people])
    assert [row.email for row in rows(service, registrants)] == [
        "alice@example.org",
        "bob@example.org",
    ]


def test_during_a_rotation_nobody_is_refused_and_the_log_says_which_secret_signed(
    service: Service, zoom_calls: ZoomCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = "b-webhook-secret-of-32-characters"
    service.settings = replace(
        service.settings, zoom_webhook_secrets=(Secret(new), Secret(WEBHOOK_SECRET))
    )
    said = LogCapture()
    heard = structlog.wrap_logger(None, processors=[said], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(webhooks, "log", heard)
    before = [zoom_calls.register() for _ in range(20)]
    monkeypatch.setattr("tests.faults.conftest.WEBHOOK_SECRET", new)
    after = [zoom_calls.register() for _ in range(20)]
    assert before + after == [200] * 40
    words = [line["secret"] for line in said.entries if line["event"] == "webhook signed"]
    assert words == ["2 of 2"] * 20 + ["1 of 2"] * 20
    assert len(rows(service, events)) == 40
