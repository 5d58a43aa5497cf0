"""What fails in a wave of letters fails alone, and is settled before anything else leaves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

import jobs
from jobs.clock import run_job
from resonance_zoom import delivery, wave
from resonance_zoom.errors import (
    DatabaseLost,
    DatabaseUnusable,
    MailInDoubt,
    MailRefused,
    MailUnreachable,
)
from resonance_zoom.mail.replies import Accepted
from resonance_zoom.service import Service
from resonance_zoom.store import erasure, journal
from resonance_zoom.store.tables import journal as journal_table
from resonance_zoom.store.tables import letters, registrants
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.faults.besieged import wait_for
from tests.test_wave import PEOPLE, Line, Relay, everybody, relay, states

__all__ = ["relay"]  # a fixture


def letter_of(service: Service, name: str) -> Any:
    with service.store.read() as connection:
        return connection.execute(
            select(letters)
            .join(registrants, registrants.c.id == letters.c.registrant)
            .where(registrants.c.email == f"{name}@example.org")
        ).one()


def test_a_fault_whose_words_no_database_can_hold_is_the_fault_of_one_letter(
    service: Service, relay: Relay
) -> None:
    def before(recipient: str) -> None:
        if recipient == "p7@example.org":
            raise MailRefused("550 half a character \ud83d, and \x00")

    relay.before = before
    wave.send_ready(service.delivery)
    assert states(service) == {"sent": PEOPLE - 1, "failed": 1}
    assert letter_of(service, "p7").detail == "550 half a character , and"


def test_an_outcome_that_cannot_be_written_is_set_aside_and_all_others_leave(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, line = letter_of(service, "p7").id, delivery._line

    def fails(one: Any, kind: str, *level: str, **data: Any) -> Any:
        if one.claim.letter.id == ill:
            raise ValueError("not to be written")
        return line(one, kind, *level, **data)

    monkeypatch.setattr(delivery, "_line", fails)
    with pytest.raises(ValueError, match="not to be written"):
        wave.send_ready(service.delivery)
    wave.send_ready(service.delivery)
    assert states(service) == {"sent": PEOPLE - 1, "in_doubt": 1}
    assert letter_of(service, "p7").reason == "error"
    assert sorted(relay.accepted) == everybody()  # its own letter had left, and goes no second time


def test_what_a_lost_commit_wrote_of_a_letter_is_not_told_twice(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is full or its disk fails just after the commit: nobody knows that it was kept."""
    write = service.store.write
    commits = 0

    @contextmanager
    def broken() -> Iterator[Connection]:
        nonlocal commits
        with write() as connection:
            yield connection
        commits += 1
        if commits == 2:  # the first letter's end, and the claim of the second
            raise DatabaseUnusable("the answer was lost")

    service.delivery.postmen = [Line(relay)]
    with monkeypatch.context() as patched:
        patched.setattr(service.store, "write", broken)
        with pytest.raises(DatabaseUnusable):
            wave.send_ready(service.delivery)
    assert states(service) == {"queued": PEOPLE - 2, "sending": 1, "sent": 1}
    wave.send_ready(service.delivery)
    assert states(service) == {"sent": PEOPLE}
    assert sorted(relay.accepted) == everybody()
    with service.store.read() as connection:
        told = select(func.count()).where(journal_table.c.kind == "letter.sent")
        assert connection.scalar(told) == PEOPLE


def test_what_a_lost_commit_claimed_goes_and_what_another_clock_sends_is_left_to_it(
    service: Service, relay: Relay, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke at the COMMIT, and while it was away another clock took over."""
    write = service.store.write

    @contextmanager
    def broken() -> Iterator[Connection]:
        with write() as connection:
            yield connection
        raise DatabaseLost("the answer was lost")

    service.delivery.postmen = [Line(relay)]
    with monkeypatch.context() as patched:
        patched.setattr(service.store, "write", broken)
        with pytest.raises(DatabaseLost):
            wave.send_ready(service.delivery)
    assert states(service) == {"queued": PEOPLE - 1, "sending": 1}
    clock.move(seconds=20)
    theirs = letter_of(service, "p9").id
    with service.store.write() as connection:
        this = update(letters).where(letters.c.id == theirs)
        connection.execute(this.values(state="sending", claimed_at=clock()))
    wave.send_ready(service.delivery)
    assert states(service) == {"sent": PEOPLE - 1, "sending": 1}
    assert letter_of(service, "p9").state == "sending"
    assert sorted({*everybody()} - {*relay.accepted}) == ["p9@example.org"]


def test_what_another_clock_took_over_is_left_to_it_even_if_this_one_had_claimed_it(
    service: Service, relay: Relay, clock: Clock
) -> None:
    claim = service.delivery.turn([], wanted=1)
    service.delivery._unbegun.append(claim)
    clock.move(seconds=20)
    with service.store.write() as connection:
        this = update(letters).where(letters.c.state == "sending")
        connection.execute(this.values(claimed_at=clock()))
    service.delivery.settle()
    assert states(service) == {"queued": PEOPLE - 1, "sending": 1}


def test_what_became_of_an_attempt_is_not_written_to_the_next_one_of_another_clock(
    service: Service, relay: Relay
) -> None:
    (claim,) = service.delivery.turn([], wanted=1).claims
    for state in ("failed", "in_doubt"):
        service.delivery.keep(delivery.Outcome(claim, service.now(), state, "no", "refused"))
    later = service.now()
    service.delivery.keep(delivery.Outcome(claim, later, "queued", "no", "deferred", later))
    with service.store.write() as connection:
        this = update(letters).where(letters.c.state == "sending")
        connection.execute(this.values(attempts=2))
    service.delivery.settle()
    assert states(service) == {"queued": PEOPLE - 1, "sending": 1}


def test_while_one_letter_hangs_whoever_registers_then_gets_theirs_at_once(
    service: Service, relay: Relay, zoom: SimulatedZoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wave, "LOOK_AGAIN_SECONDS", 0.01)
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    later = threading.Event()

    def before(recipient: str) -> None:
        if recipient == "p0@example.org":
            wait_for(lambda: len(relay.accepted) == PEOPLE - 1)
            zoom.register(meeting.id, email="later@example.org", first_name="L")
            assert run_job(service, jobs.job("sync_registrants")) is None
            assert later.wait(20)
        elif recipient == "later@example.org":
            later.set()

    relay.before = before
    wave.send_ready(service.delivery)
    assert relay.accepted[-1] == "p0@example.org"
    assert states(service) == {"sent": PEOPLE + 1}


def test_a_single_letter_that_hangs_keeps_nobody_waiting_who_registers_meanwhile(
    service: Service, relay: Relay, zoom: SimulatedZoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began alone, over one connection; the others are opened for those who come."""
    wave.send_ready(service.delivery)
    relay.accepted.clear()
    monkeypatch.setattr(wave, "LOOK_AGAIN_SECONDS", 0.01)
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email="alone@example.org", first_name="A")
    assert run_job(service, jobs.job("sync_registrants")) is None
    later = threading.Event()

    def before(recipient: str) -> None:
        if recipient == "later@example.org":
            later.set()
            return
        zoom.register(meeting.id, email="later@example.org", first_name="L")
        assert run_job(service, jobs.job("sync_registrants")) is None
        assert later.wait(20)

    relay.before = before
    wave.send_ready(service.delivery)
    assert relay.accepted == ["later@example.org", "alone@example.org"]


def test_connections_that_nothing_needs_are_not_opened(service: Service, relay: Relay) -> None:
    wave.send_ready(service.delivery)
    with service.store.write() as connection:
        connection.execute(update(letters).where(letters.c.id == 1).values(state="queued"))
    opened: list[int] = []

    class Counted(Line):
        def ready(self) -> None:
            opened.append(1)

    service.delivery.postmen = [Counted(relay) for _ in range(4)]
    assert wave.send_ready(service.delivery) == 1
    assert opened == [1]


def test_of_who_is_erased_while_their_letter_is_on_its_way_no_answer_is_kept(
    service: Service, relay: Relay
) -> None:
    """Many mail servers name the recipient in their answer; two are erased, one after the other."""

    class Names(Line):
        def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:
            said = super().send(sender=sender, recipient=recipient, message=message)
            return Accepted(f"{said.reply} for {recipient}")

    def before(recipient: str) -> None:
        if recipient in {"p3@example.org", "p7@example.org"}:
            with service.store.write() as connection:
                this = select(registrants).where(registrants.c.email == recipient)
                erasure.forget(connection, connection.execute(this).one())

    relay.before = before
    first, second, theirs = (letter_of(service, name).id for name in ("p3", "p7", "p8"))
    service.delivery.postmen = [Names(relay)]
    wave.send_ready(service.delivery)
    with service.store.read() as connection:
        details = dict(
            connection.execute(
                select(letters.c.id, letters.c.detail).where(
                    letters.c.id.in_((first, second, theirs))
                )
            ).all()
        )
    assert details == {first: "", second: "", theirs: "250 OK for p8@example.org"}


def test_a_clock_that_jumps_in_a_wave_ends_it_and_writes_nobody_off(
    service: Service, relay: Relay, clock: Clock
) -> None:
    """By a clock that runs days ahead, every letter would be too late."""
    steady = clock.seconds()
    service.guard.monotonic = lambda: steady
    service.guard.check(service.zoom)

    def before(_recipient: str) -> None:
        clock.time += timedelta(days=40)
        relay.before = lambda _recipient: None

    relay.before = before
    service.delivery.postmen = [Line(relay)]
    assert run_job(service, jobs.job("deliver_letters")) is None
    assert states(service) == {"sent": 1, "queued": PEOPLE - 1}
    assert run_job(service, jobs.job("deliver_letters")) is None
    assert len(relay.accepted) == 1
    with service.store.read() as connection:
        assert "the clock jumped" in journal.recall(connection, journal.HELD)


@pytest.mark.parametrize("a_minute", [1, 5, 6, 7, 10, 25])
def test_a_pace_that_is_no_multiple_of_four_is_kept_too_and_nothing_of_it_is_lost(
    a_minute: int, service: Service, relay: Relay, clock: Clock
) -> None:
    service.take(replace(service.campaign, letters_per_minute=a_minute))
    left: list[int] = []
    for number in range(160):
        before = len(relay.accepted)
        wave.send_ready(service.delivery)
        left.append(len(relay.accepted) - before)
        clock.move(seconds=14.99 if number % 2 else 15.01)
        if sum(left) == PEOPLE:
            break
    assert (len(left) - 1) * 15 <= PEOPLE / a_minute * 60  # as was told before
    assert max(sum(left[first : first + 4]) for first in range(len(left))) <= a_minute * 1.25 + 1


def test_a_clock_that_was_set_back_does_not_stop_a_wave_with_a_pace(
    service: Service, relay: Relay, clock: Clock
) -> None:
    service.take(replace(service.campaign, letters_per_minute=8))
    clock.move(hours=2)
    wave.send_ready(service.delivery)
    begun = len(relay.accepted)
    clock.move(hours=-2)
    with service.store.write() as connection:
        connection.execute(update(letters).values(ready_at=clock()))
    for _ in range(4):
        clock.move(seconds=15)
        wave.send_ready(service.delivery)
    assert len(relay.accepted) - begun >= 8


def test_a_doubt_that_was_written_by_a_lost_commit_is_settled_once(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, breaks = service.store.write, [False, True]  # the claim, then the outcome

    @contextmanager
    def breaking() -> Iterator[Connection]:
        with write() as connection:
            yield connection
        if breaks and breaks.pop(0):
            raise DatabaseLost("the answer was lost")

    def before(_recipient: str) -> None:
        relay.before = lambda _recipient: None
        raise MailInDoubt("the answer was lost")

    relay.before = before
    service.delivery.postmen = [Line(relay)]
    with monkeypatch.context() as patched:
        patched.setattr(service.store, "write", breaking)
        with pytest.raises(DatabaseLost):
            wave.send_ready(service.delivery)
    wave.send_ready(service.delivery)
    assert states(service) == {"sent": PEOPLE}
    with service.store.read() as connection:
        settled = journal.journal.c.kind == "letter.doubt_settled"
        lines = connection.scalars(select(journal.journal.c.message).where(settled)).all()
    assert lines == ["confirmation: it goes once more under the same Message-ID"]


def test_a_connection_that_loses_the_relay_in_the_middle_takes_no_letter_along(
    service: Service, relay: Relay
) -> None:
    def before(recipient: str) -> None:
        if recipient == "p7@example.org":
            raise MailUnreachable("the mail server hung up")

    relay.before = before
    wave.send_ready(service.delivery)
    assert states(service) == {"sent": PEOPLE - 1, "queued": 1}
    assert letter_of(service, "p7").reason == "deferred"
