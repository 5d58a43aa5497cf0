"""Over several connections every letter leaves once, and one connection's trouble is its own."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

import jobs
from jobs.clock import run_job
from resonance_zoom import wave
from resonance_zoom.errors import DatabaseBusy, MailDeferred, MailInDoubt, MailUnreachable
from resonance_zoom.mail.replies import Accepted
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.store.tables import letters, registrants
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock

PEOPLE = 40


class Relay:
    """A mail server behind many connections: what it accepted, and what stood in the database."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.accepted: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.before: Callable[[str], None] = lambda _recipient: None
        self._lock = threading.Lock()

    def takes(self, recipient: str) -> str:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert self.state_of(recipient) == "sending"  # committed before the first byte
            self.before(recipient)
            with self._lock:
                self.accepted.append(recipient)
            return "250 OK"
        finally:
            with self._lock:
                self.at_once -= 1

    def state_of(self, recipient: str) -> str | None:
        with self.service.store.read() as connection:
            return connection.scalar(
                select(letters.c.state)
                .join(registrants, registrants.c.id == letters.c.registrant)
                .where(registrants.c.email == recipient)
            )


class Line:
    """One connection to it."""

    def __init__(self, relay: Relay, *, refuses: bool = False) -> None:
        self.relay = relay
        self.refuses = refuses

    def ready(self) -> None:
        if self.refuses:
            raise MailUnreachable("421 too many connections")

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:
        del sender, message
        return Accepted(self.relay.takes(recipient))

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def relay(service: Service, zoom: SimulatedZoom) -> Relay:
    """Forty confirmations are owed; four connections lead to the relay."""
    assert run_job(service, jobs.job("create_meetings")) is None
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    for number in range(PEOPLE):
        zoom.register(meeting.id, email=f"p{number}@example.org", first_name="P")
    assert run_job(service, jobs.job("sync_registrants")) is None
    relay = Relay(service)
    service.postmen = service.delivery.postmen = [Line(relay) for _ in range(4)]
    return relay


def states(service: Service) -> Counter[str]:
    with service.store.read() as connection:
        query = select(letters.c.state, func.count().label("count")).group_by(letters.c.state)
        return Counter({row.state: row.count for row in connection.execute(query)})


def everybody() -> list[str]:
    return sorted(f"p{number}@example.org" for number in range(PEOPLE))


def meet(count: int) -> Callable[[str], None]:
    """The first `count` letters wait for each other: they must be in flight together."""
    barrier, met = threading.Barrier(count), threading.Event()

    def before(_recipient: str) -> None:
        if not met.is_set():
            barrier.wait(10)
            met.set()

    return before


def test_four_letters_are_in_flight_at_once_and_each_leaves_once(
    service: Service, relay: Relay
) -> None:
    relay.before = meet(4)
    assert wave.send_ready(service.delivery) == PEOPLE
    assert sorted(relay.accepted) == everybody()
    assert relay.most_at_once == 4
    assert states(service) == {"sent": PEOPLE}


def test_never_more_letters_are_under_way_than_there_are_connections(
    service: Service, relay: Relay
) -> None:
    seen: list[int] = []
    relay.before = lambda _recipient: seen.append(states(service)["sending"])
    wave.send_ready(service.delivery)
    assert 1 <= max(seen) <= 4


def test_every_letter_has_its_line_and_the_servers_words(service: Service, relay: Relay) -> None:
    for _ in range(2):  # the second finds nothing to settle
        wave.send_ready(service.delivery)
    with service.store.read() as connection:
        lines = connection.execute(
            select(journal.journal.c.data).where(journal.journal.c.kind == "letter.sent")
        ).scalars()
        told = Counter(line["letter"] for line in lines)
        ids = set(connection.scalars(select(letters.c.id)))
        words = set(connection.scalars(select(letters.c.detail)))
    assert told == dict.fromkeys(ids, 1)
    assert words == {"250 OK"}


def test_a_relay_that_takes_fewer_connections_than_offered_is_no_trouble(
    service: Service, relay: Relay
) -> None:
    service.delivery.postmen = [Line(relay, refuses=number > 1) for number in range(4)]
    assert wave.send_ready(service.delivery) == PEOPLE
    assert sorted(relay.accepted) == everybody()


def test_a_relay_that_takes_none_is_told_and_nothing_is_begun(
    service: Service, relay: Relay
) -> None:
    service.delivery.postmen = [Line(relay, refuses=True) for _ in range(4)]
    with pytest.raises(MailUnreachable):
        wave.send_ready(service.delivery)
    assert states(service) == {"queued": PEOPLE}


def test_an_answer_that_is_lost_on_one_connection_is_the_doubt_of_one_letter(
    service: Service, relay: Relay, clock: Clock
) -> None:
    def before(recipient: str) -> None:
        if recipient == "p7@example.org" and recipient not in relay.accepted:
            relay.accepted.append(recipient)
            raise MailInDoubt("the answer was lost")

    relay.before = before
    wave.send_ready(service.delivery)
    copies = Counter(relay.accepted)
    assert copies.pop("p7@example.org") == 2  # once more, because nobody can do without it
    assert set(copies.values()) == {1}
    assert states(service) == {"sent": PEOPLE}


def test_a_connection_that_stalls_delays_its_own_letter_alone(
    service: Service, relay: Relay
) -> None:
    others = threading.Event()

    def before(recipient: str) -> None:
        if recipient == "p0@example.org":
            assert others.wait(10)
        elif len(relay.accepted) >= PEOPLE - 2:
            others.set()

    relay.before = before
    wave.send_ready(service.delivery)
    assert sorted(relay.accepted) == everybody()
    assert relay.accepted[-1] == "p0@example.org"


def test_connections_that_work_together_commit_together(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wave, "GATHER_SECONDS", 10)  # longer than any of them takes
    turns: list[tuple[int, int]] = []
    real = service.delivery.turn

    def count(outcomes: Any, *, wanted: int) -> Any:
        turns.append((len(outcomes), wanted))
        return real(outcomes, wanted=wanted)

    monkeypatch.setattr(service.delivery, "turn", count)
    wave.send_ready(service.delivery)
    assert turns == [(0, 4), *[(4, 4)] * (PEOPLE // 4)]


def test_what_could_not_be_written_is_written_before_anything_else_leaves(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is held by somebody when the first letters have just been accepted."""
    real = service.delivery.turn

    def busy(outcomes: Any, *, wanted: int) -> Any:
        if outcomes:
            raise DatabaseBusy("somebody writes")
        return real(outcomes, wanted=wanted)

    relay.before = meet(4)
    with monkeypatch.context() as patched:
        patched.setattr(service.delivery, "turn", busy)
        with pytest.raises(DatabaseBusy):
            wave.send_ready(service.delivery)
    assert len(relay.accepted) == 4
    assert states(service)["sending"] == 4
    assert wave.send_ready(service.delivery) == PEOPLE - 4
    assert sorted(relay.accepted) == everybody()


def test_when_staff_pause_a_wave_no_more_than_the_letters_in_flight_leave(
    service: Service, relay: Relay
) -> None:
    def before(_recipient: str) -> None:
        with service.store.write() as connection:
            journal.remember(connection, journal.PAUSED, {"by": "Alice"})

    relay.before = before
    wave.send_ready(service.delivery)
    assert 1 <= len(relay.accepted) <= 4
    assert states(service)["sending"] == 0


def test_a_pace_is_kept_over_many_runs(service: Service, relay: Relay, clock: Clock) -> None:
    service.take(replace(service.campaign, letters_per_minute=8))
    left = []
    for _ in range(20):  # a run each quarter of a minute, as the clock does it
        before = len(relay.accepted)
        wave.send_ready(service.delivery)
        left.append(len(relay.accepted) - before)
        clock.move(seconds=15)
    assert left == [3] + [2] * 18 + [1]


def test_a_wave_in_the_hands_of_a_relay_that_defers_all_leaves_nobody_behind(
    service: Service, relay: Relay, clock: Clock
) -> None:
    def before(_recipient: str) -> None:
        raise MailDeferred("451 later")

    relay.before = before
    wave.send_ready(service.delivery)
    assert states(service) == {"queued": PEOPLE}
    relay.before = lambda _recipient: None
    clock.move(minutes=1)
    wave.send_ready(service.delivery)
    assert sorted(relay.accepted) == everybody()


@pytest.mark.parametrize(
    ("a_minute", "kind", "words"),
    [
        (8, "letters.owed", "40 reminder-7 fell due; at 8 a minute the last leaves at 08:05 UTC"),
        (
            1,
            "letters.slow",
            "40 reminder-1 fell due; at 1 a minute the last leaves at 06:30 UTC,"
            " too late: the meeting begins at 08:00 UTC",
        ),
    ],
)
def test_the_end_of_a_wave_is_told_before_it_begins(
    service: Service, relay: Relay, clock: Clock, a_minute: int, kind: str, words: str
) -> None:
    wave.send_ready(service.delivery)
    service.take(replace(service.campaign, letters_per_minute=a_minute))
    early = kind == "letters.owed"
    clock.time = datetime(2021, 2, 2, 8, 0, tzinfo=UTC) if early else _before_the_meeting()
    assert run_job(service, jobs.job("sync_registrants")) is None
    assert run_job(service, jobs.job("send_reminders")) is None
    with service.store.read() as connection:
        query = select(journal.journal.c.message).where(journal.journal.c.kind == kind)
        assert words in set(connection.scalars(query))


def _before_the_meeting() -> datetime:
    """The daemon was down when the last reminder fell due, the day before."""
    return datetime(2021, 2, 9, 5, 50, tzinfo=UTC)


def test_the_end_of_a_wave_counts_the_letters_that_leave_before_it(
    service: Service, relay: Relay, clock: Clock
) -> None:
    """Forty confirmations still wait for the pace when forty reminders fall due."""
    service.take(replace(service.campaign, letters_per_minute=8))
    clock.time = datetime(2021, 2, 2, 8, 0, tzinfo=UTC)
    assert run_job(service, jobs.job("sync_registrants")) is None
    assert run_job(service, jobs.job("send_reminders")) is None
    with service.store.read() as connection:
        query = select(journal.journal.c.message).where(journal.journal.c.kind == "letters.owed")
        words = "40 reminder-7 fell due; at 8 a minute the last leaves at 08:10 UTC"
        assert words in set(connection.scalars(query))
