"""Whatever a mail server does at whatever moment, a letter ends well or is shown, and none doubles."""

import itertools
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

import jobs
from jobs.clock import run_job
from resonance_zoom.mail.postman import SmtpPostman
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, letters, meta, runs
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.faults.conftest import ZoomCalls
from tests.mail.peer import CLOSE, EHLO, GO, GREETING, OK, RESET, SELF_SIGNED, SILENCE, TLS, Peer

BYE = "221 bye"
QUEUED = "250 2.0.0 Ok: queued as 4F2"
LOGIN = "250-mail.example.org\r\n250 AUTH PLAIN"
WELCOME = "235 2.7.0 welcome"
GARBAGE = "\x16\x03\x01 what? \x00\x1b[31m"
FAULTS = {
    "close": (CLOSE,),
    "reset": (RESET,),
    "4xx": ("451 4.3.0 <alice1@example.org> not now",),
    "5xx": ("554 5.7.1 <alice1@example.org> never",),
    "stall": (SILENCE,),
    "garbage": (GARBAGE, CLOSE),
}
PLAIN = {
    "greeting": GREETING,
    "EHLO": LOGIN,
    "AUTH": WELCOME,
    "MAIL": OK,
    "RCPT": OK,
    "DATA": GO,
    "dot": QUEUED,
    "QUIT": BYE,
}
SECURED: dict[str, str | tuple[str, ...]] = {
    "greeting": GREETING,
    "EHLO": "250-mail.example.org\r\n250 STARTTLS",
    "STARTTLS": ("220 go", TLS),
    "EHLO again": EHLO,
    **{verb: PLAIN[verb] for verb in ("MAIL", "RCPT", "DATA", "dot", "QUIT")},
}
AT_ONCE = PLAIN | {"EHLO": "250-mail.example.org\r\n250-PIPELINING\r\n250 AUTH PLAIN"}
ENVELOPE = ("MAIL", "RCPT", "DATA")
OUT_OF_TURN = "503 5.5.1 out of turn"
Script = Sequence[str | tuple[str, ...]]


def script(steps: dict[str, Any], verb: str = "", fault: str = "") -> Script:
    """A conversation, with the fault in place of one answer; after a refusal it goes on."""
    good = list(steps.values())
    if not verb:
        return good
    at = list(steps).index(verb)
    if fault in {"4xx", "5xx"}:
        # HELO after EHLO; RSET after a refused verb, nothing after a refused letter; then QUIT.
        return [*good[:at], *FAULTS[fault], *FAULTS[fault], BYE, BYE]
    return [*good[:at], FAULTS[fault]]


def run(service: Service, name: str = "deliver_letters") -> None:
    run_job(service, jobs.job(name))


def states(service: Service) -> list[tuple[str, str]]:
    with service.store.read() as connection:
        found = connection.execute(select(letters.c.kind, letters.c.state).order_by(letters.c.id))
        return [(row.kind, row.state) for row in found]


def lines(service: Service, kind: str) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(journal).where(journal.c.kind == kind)))


def speak_to(service: Service, peer: Peer, **named: Any) -> SmtpPostman:
    """The service sends through the peer from now on, with little patience."""
    service.close_connections()
    url = named.pop("url", f"smtp://us:secret@127.0.0.1:{peer.port}")
    made = SmtpPostman(url, **{"timeout": 0.15, "patience": 0.15, **named})
    service.postmen = service.delivery.postmen = [made]
    return made


def deliver(service: Service, clock: Clock) -> None:
    """Until nothing is to be done: for two days, each hour and a half."""
    for _ in range(6):
        run(service)
        clock.move(minutes=90)
    service.close_connections()


def ends(verb: str, fault: str) -> tuple[str, int]:
    """How a confirmation ends, and how often a mail server has accepted it."""
    if fault == "5xx" and verb in {"RCPT", "DATA", "dot"}:
        return "failed", 0
    if verb == "dot" and fault != "4xx":
        return "sent", 2  # once in doubt, once more under the same Message-ID
    return "sent", 1


@pytest.mark.parametrize(("verb", "fault"), list(itertools.product(list(PLAIN)[:-1], FAULTS)))
def test_a_fault_at_any_verb_costs_no_letter_and_doubles_none(
    service: Service, zoom_calls: ZoomCalls, clock: Clock, verb: str, fault: str
) -> None:
    assert zoom_calls.register() == 200
    with Peer(script(PLAIN, verb, fault), script(PLAIN), script(PLAIN)) as peer:
        speak_to(service, peer)
        deliver(service, clock)
    state, times = ends(verb, fault)
    refused = verb == "dot" and fault in {"4xx", "5xx"}
    assert states(service) == [("confirmation", state)]
    assert len(peer.letters) - refused == times
    assert len(set(map(message_id, peer.letters))) == min(times + refused, 1)
    assert len(lines(service, "letter.sent")) == (state == "sent")
    assert len(lines(service, "letter.in_doubt")) == (times == 2)


def message_id(letter: bytes) -> bytes:
    return letter.partition(b"Message-ID: ")[2].partition(b"\r\n")[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reminder_whose_250_was_lost_waits_for_staff(
    service: Service, zoom_calls: ZoomCalls, zoom: SimulatedZoom, clock: Clock, fault: str
) -> None:
    zoom.subscribe(zoom_calls.url)
    zoom.register(zoom_calls.meeting_id, email="alice@example.org", first_name="Alice")
    zoom.deliver_due()
    run(service)
    clock.to(2021, 2, 2, 9)
    run(service, "send_reminders")
    with Peer(script(PLAIN, "dot", fault), script(PLAIN)) as peer:
        speak_to(service, peer)
        deliver(service, clock)
    state = {"4xx": "sent", "5xx": "failed"}.get(fault, "in_doubt")
    assert states(service) == [("confirmation", "sent"), ("reminder-7", state)]
    assert len(peer.letters) == (2 if fault == "4xx" else 1)
    assert len(lines(service, "letter.in_doubt")) == (state == "in_doubt")


def script_at_once(verb: str, fault: str, *, data: str = OUT_OF_TURN) -> Script:
    """The same of a relay that takes the envelope in one go: it answers what is behind as well."""
    if verb not in ENVELOPE or fault not in {"4xx", "5xx"}:
        return script(AT_ONCE, verb, fault)
    good, at = list(AT_ONCE.values()), list(AT_ONCE).index(verb)
    behind = [OUT_OF_TURN, data][ENVELOPE.index(verb) :]
    return [*good[:at], *FAULTS[fault], *behind, *FAULTS[fault], BYE]


@pytest.mark.parametrize(("verb", "fault"), list(itertools.product((*ENVELOPE, "dot"), FAULTS)))
def test_a_relay_that_takes_the_envelope_in_one_go_loses_and_doubles_as_little(
    service: Service, zoom_calls: ZoomCalls, clock: Clock, verb: str, fault: str
) -> None:
    assert zoom_calls.register() == 200
    good = script(AT_ONCE)
    with Peer(script_at_once(verb, fault), good, good) as peer:
        speak_to(service, peer)
        deliver(service, clock)
    state, times = ends(verb, fault)
    refused = verb == "dot" and fault in {"4xx", "5xx"}
    assert states(service) == [("confirmation", state)]
    assert len(peer.letters) - refused == times
    assert len(set(map(message_id, peer.letters))) == min(times + refused, 1)
    assert len(lines(service, "letter.in_doubt")) == (times == 2)


def test_the_envelope_leaves_in_one_go_where_the_relay_says_so(
    service: Service, zoom_calls: ZoomCalls
) -> None:
    assert zoom_calls.register() == 200
    # It answers MAIL only when it has heard all three.
    steps = [*AT_ONCE.values()]
    together = [*steps[:3], (), (), (OK, OK, GO), *steps[6:]]
    with Peer(together) as peer:
        speak_to(service, peer)
        run(service)
        service.close_connections()
    assert [line.partition(" ")[0] for line in peer.heard[0][2:5]] == ["MAIL", "RCPT", "DATA"]
    assert states(service) == [("confirmation", "sent")]


def test_after_a_refused_recipient_the_connection_carries_the_next_letter(
    service: Service, zoom_calls: ZoomCalls
) -> None:
    assert [zoom_calls.register(), zoom_calls.register()] == [200, 200]
    first = [*script(AT_ONCE)[:4], "550 5.1.1 no such user", OUT_OF_TURN, OK, *script(PLAIN)[3:]]
    with Peer(first) as peer:
        speak_to(service, peer)
        run(service)
        service.close_connections()
    assert states(service) == [("confirmation", "failed"), ("confirmation", "sent")]
    assert len(peer.letters) == 1


def test_a_relay_that_waits_for_the_letter_of_a_refused_recipient_gets_none(
    service: Service, zoom_calls: ZoomCalls
) -> None:
    assert [zoom_calls.register(), zoom_calls.register()] == [200, 200]
    first = [*script(AT_ONCE)[:4], "550 5.1.1 no such user", GO]
    with Peer(first, script(AT_ONCE)) as peer:
        speak_to(service, peer)
        run(service)
        service.close_connections()
    assert states(service) == [("confirmation", "failed"), ("confirmation", "sent")]
    assert [letter.count(b"To: alice2@example.org") for letter in peer.letters] == [1]


@pytest.fixture
def a_name_that_leads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not loopback leads to this machine, so that STARTTLS is required."""
    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == "mail.example.org" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("a_name_that_leads_here")
@pytest.mark.parametrize("verb", ["EHLO", "STARTTLS", "EHLO again", "dot"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_the_way_to_tls_sends_nothing_in_clear(
    service: Service, zoom_calls: ZoomCalls, clock: Clock, verb: str, fault: str
) -> None:
    assert zoom_calls.register() == 200
    good = script(SECURED)
    with Peer(script(SECURED, verb, fault), good, good) as peer:
        url = f"smtp://mail.example.org:{peer.port}"
        trusted = ssl.create_default_context(cafile=str(SELF_SIGNED))
        speak_to(service, peer, url=url, tls=trusted, timeout=0.5)
        deliver(service, clock)
    state, times = ends(verb, fault)
    refused = verb == "dot" and fault in {"4xx", "5xx"}
    assert states(service) == [("confirmation", state)]
    assert len(peer.letters) - refused == times
    clear = [line[:4] for line in peer.heard[0]] if verb != "dot" else []
    assert not {"MAIL", "RCPT", "DATA", "AUTH"} & {*clear}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("refusal", ["451 4.7.1 greylisted", "550 5.1.1 no such user"])
def test_a_refused_recipient_and_a_fault_at_rset_keep_nobody_elses_letter(
    service: Service, zoom_calls: ZoomCalls, clock: Clock, fault: str, refusal: str
) -> None:
    assert [zoom_calls.register(), zoom_calls.register()] == [200, 200]
    first = [GREETING, LOGIN, WELCOME, OK, refusal, FAULTS[fault], *script(PLAIN)[3:]]
    with Peer(first, script(PLAIN), script(PLAIN)) as peer:
        speak_to(service, peer)
        run(service)
        at_once = [state for _, state in states(service)]
        deliver(service, clock)
    assert at_once == ["queued" if refusal.startswith("4") else "failed", "sent"]
    assert len(peer.letters) == (2 if refusal.startswith("4") else 1)
    assert len(set(map(message_id, peer.letters))) == len(peer.letters)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["NOOP", "QUIT"])
def test_a_fault_at_noop_or_quit_touches_no_letter(
    service: Service,
    zoom_calls: ZoomCalls,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    fault: str,
) -> None:
    monkeypatch.setattr("resonance_zoom.mail.smtp.GOODBYE_SECONDS", 0.15)
    assert zoom_calls.register() == 200
    idle = [0.0]
    with Peer([*script(PLAIN)[:-1], FAULTS[fault], BYE], script(PLAIN)) as peer:
        speak_to(service, peer, monotonic=lambda: idle[0])
        run(service)
        idle[0] = 6.0
        if verb == "QUIT":
            service.close_connections()
        assert zoom_calls.register() == 200
        run(service)
        service.close_connections()
    assert states(service) == [("confirmation", "sent")] * 2
    assert len(peer.letters) == 2
    assert any(line == verb for line in peer.heard[0])


def test_a_login_that_is_refused_is_told_at_once_and_fails_no_letter(
    service: Service, zoom_calls: ZoomCalls
) -> None:
    assert zoom_calls.register() == 200
    with Peer(script(PLAIN, "AUTH", "5xx")) as peer:
        speak_to(service, peer)
        run(service)
        (told,) = lines(service, "mail.unreachable")
    assert told.level == "error"
    assert "SMTP_URL" in told.message
    assert "secret" not in told.message
    assert states(service) == [("confirmation", "queued")]


def test_a_server_that_hangs_up_in_the_middle_of_a_letter_has_not_accepted_it(
    service: Service, zoom_calls: ZoomCalls, clock: Clock
) -> None:
    """Without its final dot a letter is nothing to the server, so it is no doubt."""
    assert zoom_calls.register() == 200
    with Peer([*script(PLAIN)[:5], (GO, CLOSE)], script(PLAIN)) as peer:
        whole = peer._take_letter
        peer._take_letter = lambda line: line.recv(1)  # type: ignore[assignment, method-assign]
        postman = speak_to(service, peer)
        plain = postman.sending
        postman.sending = lambda **named: plain(  # type: ignore[method-assign]
            **{**named, "message": named["message"] + (b"x" * 998 + b"\r\n") * 16_000}
        )
        run(service)
        assert states(service) == [("confirmation", "queued")]
        peer._take_letter = whole  # type: ignore[method-assign]
        postman.sending = plain  # type: ignore[method-assign]
        deliver(service, clock)
    assert states(service) == [("confirmation", "sent")]
    assert len(peer.letters) == 1
    assert lines(service, "letter.in_doubt") == []


@pytest.mark.parametrize("verb", ["RCPT", "DATA"])
def test_a_relays_trouble_names_nobody_whose_letter_met_it(
    service: Service, zoom_calls: ZoomCalls, verb: str
) -> None:
    """It is told as the relay's, so erasing the person would not find it."""
    assert zoom_calls.register() == 200
    steps = script(dict(itertools.takewhile(lambda step: step[0] != verb, PLAIN.items())))
    wants_a_login = "530 5.7.0 <alice1@example.org>: authenticate first"
    with Peer([*steps, wants_a_login, OK, BYE]) as peer:
        speak_to(service, peer)
        run(service)
        service.close_connections()
    (told,) = lines(service, "mail.unreachable")
    assert "530 5.7.0 <…>: authenticate first" in told.message
    with service.store.read() as connection:
        (error,) = connection.execute(
            select(runs.c.error).where(runs.c.job == "deliver_letters")
        ).scalars()
        remembered = connection.execute(select(meta)).all()
    assert "530 5.7.0 <…>: authenticate first" in error
    assert "alice1@" not in f"{remembered}{told}"
