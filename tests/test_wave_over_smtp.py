"""One thread speaks to all mail servers at once: whoever is waited for, the letters of others go on."""

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, select

import jobs
from jobs.clock import run_job
from resonance_zoom import wave
from resonance_zoom.delivery import Delivery
from resonance_zoom.mail.postman import Accepted, SmtpPostman
from resonance_zoom.mail.smtp import LETTERS_A_CONNECTION
from resonance_zoom.mail.talks import Talk
from resonance_zoom.service import Service
from resonance_zoom.store.tables import letters
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.faults.besieged import wait_for
from tests.mail.peer import CLOSE, EHLO, GO, GREETING, OK, SELF_SIGNED, SILENCE, TLS, Peer, Step
from tests.test_wave import PEOPLE, Line, Relay, everybody, relay, states
from tests.test_wave_in_trouble import letter_of

__all__ = ["relay"]  # a fixture: forty letters are owed

ONE_LETTER: tuple[Step, ...] = (OK, OK, GO, "250 queued")
MANY: tuple[Step, ...] = (GREETING, EHLO, *ONE_LETTER * PEOPLE, "221 bye")
VERBS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot")
Peers = Callable[..., list[Peer]]


@pytest.fixture
def peers(service: Service, relay: Relay) -> Iterator[Peers]:
    """A mail server of its own behind each of four connections; each script is one connection."""
    with contextlib.ExitStack() as stack:

        def made(*firsts: Sequence[Step], url: str = "{0.url}", **named: Any) -> list[Peer]:
            scripts = [*firsts, *[MANY] * (4 - len(firsts))]
            found = [stack.enter_context(Peer(script, MANY)) for script in scripts]
            settings = {"timeout": 20.0, "patience": 20.0, **named}
            postmen = [SmtpPostman(url.format(peer), **settings) for peer in found]
            service.postmen = service.delivery.postmen = postmen
            return found

        yield made
        service.close_connections()


def carried(peers: Sequence[Peer]) -> list[str]:
    """To whom the letters went that came with their final dot."""
    return [to(letter) for peer in peers for letter in peer.letters]


def to(letter: bytes) -> str:
    return letter.partition(b"\r\nTo: ")[2].partition(b"\r\n")[0].decode()


@pytest.mark.parametrize("verb", VERBS)
def test_while_one_connection_waits_for_its_relay_the_letters_of_the_others_arrive(
    service: Service, peers: Peers, verb: str
) -> None:
    at = VERBS.index(verb)
    own_letter = at >= VERBS.index("MAIL")
    waited: list[int] = []

    def until_the_others_left() -> None:
        wait_for(lambda: len(carried(three)) == PEOPLE - own_letter)
        waited.append(at)

    _, *three = all_four = peers([*MANY[:at], (until_the_others_left, MANY[at]), *MANY[at + 1 :]])
    wave.send_ready(service.delivery)
    assert waited == [at]
    assert service.postmen[0]._line is not None  # nor was it given up
    assert sorted(carried(all_four)) == everybody()
    assert states(service) == {"sent": PEOPLE}


@pytest.mark.parametrize("verb", ["NOOP", "QUIT"])
def test_one_that_is_asked_whether_it_lives_or_said_goodbye_to_holds_nobody_up(
    service: Service, peers: Peers, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr("resonance_zoom.mail.smtp.GOODBYE_SECONDS", 20)
    waited: list[str] = []

    def until_the_others_left() -> None:
        wait_for(lambda: len(carried(three)) == PEOPLE)
        waited.append(verb)

    first, *three = peers([GREETING, EHLO, (until_the_others_left, OK)])
    kept = service.postmen[0]
    kept.ready()
    if verb == "NOOP":
        kept._used -= 6
    else:
        kept._letters = LETTERS_A_CONNECTION
    wave.send_ready(service.delivery)
    assert first.heard[0][1:] == waited == [verb]
    assert states(service) == {"sent": PEOPLE}


@pytest.mark.parametrize(("verb", "copies"), [("MAIL", 1), ("RCPT", 1), ("DATA", 1), ("dot", 2)])
def test_one_that_hangs_for_good_is_given_up_and_its_letter_goes_later(
    service: Service, peers: Peers, clock: Clock, verb: str, copies: int
) -> None:
    all_four = peers([*MANY[: VERBS.index(verb)], SILENCE], timeout=0.2, patience=0.2)
    wave.send_ready(service.delivery)
    clock.move(hours=2)
    wave.send_ready(service.delivery)
    assert states(service) == {"sent": PEOPLE}
    assert sorted(Counter(carried(all_four)).values()) == [*[1] * (PEOPLE - 1), copies]


def test_a_relay_that_hangs_up_on_one_connection_costs_no_letter(
    service: Service, peers: Peers, clock: Clock
) -> None:
    all_four = peers([*MANY[:3], CLOSE])
    wave.send_ready(service.delivery)
    clock.move(hours=2)
    wave.send_ready(service.delivery)
    assert sorted(carried(all_four)) == everybody()


def test_a_long_letter_to_a_slow_reader_holds_nobody_up(service: Service, peers: Peers) -> None:
    first, *three = peers()
    take, plain = first._take_letter, service.postmen[0].sending

    def slowly(connection: socket.socket) -> None:
        wait_for(lambda: len(carried(three)) == PEOPLE - 1)
        take(connection)

    def longer(*, message: bytes, **named: Any) -> Talk[Any]:
        return plain(message=message + (b"x" * 998 + b"\r\n") * 16_000, **named)

    first._take_letter = slowly
    service.postmen[0].sending = longer
    wave.send_ready(service.delivery)
    assert sorted(carried([first, *three])) == everybody()
    assert [len(letter) > 16_000_000 for letter in first.letters] == [True]
    assert states(service) == {"sent": PEOPLE}


@pytest.fixture
def a_name_that_leads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not loopback leads to this machine; the certificate is for it."""
    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == "mail.example.org" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("a_name_that_leads_here")
@pytest.mark.parametrize("stalls", [False, True])
def test_over_tls_too_several_connections_carry_letters_beside_each_other(
    service: Service, peers: Peers, monkeypatch: pytest.MonkeyPatch, stalls: bool
) -> None:
    monkeypatch.setattr("resonance_zoom.mail.smtp.GOODBYE_SECONDS", 0.1)
    script: list[Step] = [(TLS, GREETING), "250-mail.example.org\r\n250 PIPELINING"]
    script += [(), (), (OK, OK, GO), "250-queued\r\n250 as 4F2"] * PEOPLE
    stalled = [*script[:4], SILENCE] if stalls else script
    trusted = ssl.create_default_context(cafile=str(SELF_SIGNED))
    url = "smtps://mail.example.org:{0.port}"
    all_four = peers(stalled, *[script] * 3, url=url, tls=trusted, timeout=0.5)
    wave.send_ready(service.delivery)
    went = {"sent": PEOPLE - 1, "queued": 1} if stalls else {"sent": PEOPLE}
    assert states(service) == went
    assert len(set(carried(all_four))) == went["sent"]
    with service.store.read() as connection:
        words = Counter(connection.scalars(select(letters.c.detail)))
    assert words["250 queued as 4F2"] == went["sent"]


def test_with_one_connection_nothing_runs_on_another_thread(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[threading.Thread] = []

    class Here(Line):
        def ready(self) -> None:
            where.append(threading.current_thread())

        def send(self, **named: Any) -> Accepted:
            where.append(threading.current_thread())
            return super().send(**named)

    def compose(**named: Any) -> bytes:
        where.append(threading.current_thread())
        return real(**named)

    real = service.composer.compose
    monkeypatch.setattr(service.composer, "compose", compose)
    service.delivery.postmen = [Here(relay)]
    wave.send_ready(service.delivery)
    assert where == [threading.current_thread()] * (1 + 2 * PEOPLE)


def test_letters_are_composed_while_their_claim_is_committed_and_leave_after_it(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, compose = service.store.write, service.composer.compose
    composed: list[bytes] = []
    before_the_commit: list[tuple[bool, int]] = []

    @contextlib.contextmanager
    def waits_for_the_disk() -> Iterator[Connection]:
        with write() as connection:
            yield connection
            wait_for(lambda: composed)
            before_the_commit.append((len(composed) > len(relay.accepted), len(relay.accepted)))

    def composes(**named: Any) -> bytes:
        composed.append(compose(**named))
        return composed[-1]

    monkeypatch.setattr(service.store, "write", waits_for_the_disk)
    monkeypatch.setattr(service.composer, "compose", composes)
    wave.send_ready(service.delivery)
    assert before_the_commit[0] == (True, 0)
    assert len(composed) == PEOPLE
    assert sorted(relay.accepted) == everybody()


def test_a_letter_that_cannot_be_composed_beside_the_others_fails_alone(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = service.composer.compose

    def compose(*, person: Any, **named: Any) -> bytes:
        if person.email == "p7@example.org":
            raise KeyError("not to be composed")
        return real(person=person, **named)

    monkeypatch.setattr(service.composer, "compose", compose)
    wave.send_ready(service.delivery)
    assert states(service) == {"sent": PEOPLE - 1, "failed": 1}
    assert letter_of(service, "p7").reason == "error"


def test_for_one_who_comes_while_a_letter_hangs_one_more_connection_is_opened(
    service: Service, relay: Relay, zoom: SimulatedZoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    wave.send_ready(service.delivery)
    monkeypatch.setattr(wave, "LOOK_AGAIN_SECONDS", 0.01)
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    opened: list[int] = []
    later = threading.Event()

    class Counted(Line):
        def ready(self) -> None:
            opened.append(1)

    def register(name: str) -> None:
        zoom.register(meeting.id, email=f"{name}@example.org", first_name="A")
        assert run_job(service, jobs.job("sync_registrants")) is None

    def before(recipient: str) -> None:
        if recipient == "later@example.org":
            later.set()
        else:
            register("later")
            assert later.wait(20)

    register("alone")
    relay.before = before
    service.delivery.postmen = [Counted(relay) for _ in range(4)]
    assert wave.send_ready(service.delivery) == 2
    assert opened == [1, 1]


def test_what_became_of_letters_is_kept_when_the_process_is_told_to_end(
    service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wave, "GATHER_SECONDS", 10)  # all four are answered before a turn is taken
    delivery: Delivery = service.delivery
    asked: list[bool] = []

    def interrupted() -> bool:
        asked.append(True)
        if len(asked) == 3:  # at the end of the first letters
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt) as caught:
        wave.send_ready(delivery, interrupted)
    assert len(relay.accepted) == 4
    assert states(service)["sending"] == 4
    delivery.settle()
    assert states(service) == {"sent": 4, "queued": PEOPLE - 4}
    assert caught.tb is not None  # it still holds whatever the wave had in hand
