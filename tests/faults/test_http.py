"""No stranger's connection, however slow, long or crooked, keeps Zoom's calls from being heard."""

import gzip
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from sqlalchemy import select
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from resonance_zoom.service import Service
from resonance_zoom.store.tables import registrants
from resonance_zoom.web.app import make_app
from resonance_zoom.web.security import HEADERS
from resonance_zoom.web.server import Limits, WebServer
from resonance_zoom.zoom.simulator import SimMeeting
from tests.conftest import Clock
from tests.faults.wire import chunked, head, line, signed

Opens = Callable[[Limits], int]
CHALLENGE = b'{"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}}'
GET = head("GET /healthz HTTP/1.1")


@pytest.fixture
def opens(service: Service) -> Iterator[Opens]:
    """`opens(limits)`: the port of the service's web server."""
    with ExitStack() as stack:

        def opened(limits: Limits) -> int:
            server = WebServer(make_app(service), host="127.0.0.1", port=0, limits=limits)
            server.start()
            stack.callback(server.stop)
            return server.port

        yield opened


@pytest.fixture
def port(opens: Opens) -> int:
    """The web server as it runs in production."""
    return opens(Limits())


def known(service: Service) -> list[str]:
    with service.store.read() as connection:
        return list(connection.execute(select(registrants.c.email_folded)).scalars())


def registration(meeting: SimMeeting, clock: Clock, name: str = "alice") -> bytes:
    registrant = {
        "id": name,
        "email": f"{name}@example.org",
        "first_name": name,
        "status": "approved",
        "join_url": f"https://zoom.us/w/1?tk={name}",
    }
    document = {
        "event": "meeting.registration_created",
        "event_ts": int(clock.seconds() * 1000),
        "payload": {"object": {"id": meeting.id, "registrant": registrant}},
    }
    return json.dumps(document).encode()


def test_the_limits_are_five_seconds_for_a_head_and_ten_for_a_body() -> None:
    assert Limits() == Limits(
        head=5.0, body=10.0, answer=30.0, idle=15, head_bytes=65536, connections=700
    )


def test_who_sends_a_head_a_byte_at_a_time_is_hung_up_on(opens: Opens) -> None:
    with line(opens(Limits(head=0.2, body=60))) as slow:
        assert 0.15 < slow.trickle(head("GET / HTTP/1.1", "X: " + "x" * 10_000)) < 5


def test_who_sends_a_body_a_byte_at_a_time_is_hung_up_on(opens: Opens, clock: Clock) -> None:
    body = b" " * 10_000
    with line(opens(Limits(head=60, body=0.2))) as slow:
        slow.send(signed(body, clock))
        assert 0.15 < slow.trickle(body) < 5


def test_who_says_nothing_is_hung_up_on(opens: Opens) -> None:
    with line(opens(Limits(head=0.1))) as silent:
        assert silent.rest() == b""


def test_who_sends_empty_lines_after_an_answer_is_hung_up_on(opens: Opens) -> None:
    """uvicorn stops its own clock at the first byte of whatever comes."""
    with line(opens(Limits(head=0.1, idle=60))) as idle:
        idle.send(GET)
        assert idle.answer().status == 200
        idle.send(b"\r\n")
        assert idle.rest() == b""


@pytest.mark.parametrize("request_in", [1, 2, 3], ids="in {} pieces".format)
def test_who_has_asked_may_be_silent_for_a_while_and_ask_again(
    opens: Opens, request_in: int
) -> None:
    whole = head("POST /healthz HTTP/1.1", "Content-Length: 4") + b"body"
    pieces = {1: [whole], 2: [whole[:-4], whole[-4:]], 3: [whole[:20], whole[20:-2], whole[-2:]]}
    with line(opens(Limits(head=0.1, body=0.1, idle=1))) as patient:
        patient.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for piece in pieces[request_in]:
                patient.send(piece)
                patient.socket.settimeout(0.02)
                with suppress(TimeoutError):  # it is read before the next one comes
                    patient.socket.recv(1, socket.MSG_PEEK)
            patient.socket.settimeout(5)
            assert patient.answer().status == 405
            patient.socket.settimeout(0.25)
            with pytest.raises(TimeoutError):
                patient.rest()
        patient.socket.settimeout(5)
        assert patient.rest() == b""


def test_who_does_not_take_the_answer_is_hung_up_on() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b"x" * 30_000_000)(scope, receive, send)

    server = WebServer(endless, host="127.0.0.1", port=0, limits=Limits(answer=0.1))
    server.start()
    with line(server.port) as deaf:
        deaf.send(GET)
        until = time.monotonic() + 5
        while server._server.server_state.connections and time.monotonic() < until:
            time.sleep(0.01)  # for the server's own clock
        assert not server._server.server_state.connections
    server.stop()


def test_beside_200_silent_and_200_slow_connections_zoom_is_answered_within_a_second(
    service: Service, port: int, meeting: SimMeeting, clock: Clock
) -> None:
    body = registration(meeting, clock)
    with ExitStack() as stack:
        for number in range(400):
            other = stack.enter_context(line(port))
            if number % 2:
                other.send(signed(body, clock)[: 20 + number])
        with line(port) as zoom:
            begun = time.monotonic()
            zoom.send(signed(body, clock) + body)
            assert zoom.answer().status == 200
            assert time.monotonic() - begun < 1
    assert known(service) == ["alice@example.org"]


def test_the_answer_to_a_call_that_was_stored_carries_every_header_and_no_body(
    port: int, meeting: SimMeeting, clock: Clock
) -> None:
    body = registration(meeting, clock)
    with line(port) as zoom:
        zoom.send(signed(body, clock) + body)
        answer = zoom.answer()
    assert (answer.status, answer.body) == (200, b"")
    assert {
        name.lower(): value for name, value in HEADERS.items()
    }.items() <= answer.headers.items()
    assert answer.headers["content-length"] == "0"


def test_who_has_waited_longest_makes_room_for_whom_we_have_not_heard(
    opens: Opens, clock: Clock
) -> None:
    with ExitStack() as stack:
        port = opens(Limits(connections=10))
        silent = [stack.enter_context(line(port)) for _ in range(15)]
        with line(port) as zoom:
            zoom.send(signed(CHALLENGE, clock) + CHALLENGE)
            assert zoom.answer().status == 200
        for other in silent[:6]:
            assert other.rest() == b""
        silent[-1].send(GET)
        assert silent[-1].answer().status == 200


@pytest.mark.parametrize("length", [True, False])
def test_a_body_without_end_is_answered_413_and_not_kept(
    opens: Opens, clock: Clock, length: bool
) -> None:
    more = ["Content-Length: 100000000"] if length else ["Transfer-Encoding: chunked"]
    piece = b"x" * 65536 if length else b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with line(opens(Limits(body=0.5))) as long:
        long.send(signed(b"", clock, *more, length=False))
        for _ in range(5):
            long.send(piece)
        answer = long.answer()
        assert answer.status == 413
        assert answer.headers["x-content-type-options"] == "nosniff"
        while long.send(piece):
            assert time.monotonic()


def test_a_body_in_chunks_without_a_length_is_read(
    service: Service, port: int, meeting: SimMeeting, clock: Clock
) -> None:
    body = registration(meeting, clock)
    with line(port) as zoom:
        zoom.send(signed(body, clock, "Transfer-Encoding: chunked", length=False))
        zoom.send(chunked(body, 7))
        assert zoom.answer().status == 200
    assert known(service) == ["alice@example.org"]


def test_a_body_that_would_unpack_to_much_is_not_unpacked(port: int, clock: Clock) -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, 1)[:200_000]
    with line(port) as packed:
        packed.send(signed(bomb, clock, "Content-Encoding: gzip") + bomb)
        answer = packed.answer()
    assert answer.status == 415
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ],
    ids=["address", "header", "word-beside-a-chunk", "header-behind-the-body"],
)
def test_what_surrounds_a_body_has_an_end(port: int, beginning: bytes) -> None:
    with line(port) as long:
        long.send(beginning)
        sent = 0
        while sent < 200 and long.send(b"x" * 65536):
            sent += 1
        assert sent < 100  # what waits in the two sockets was sent as well


@pytest.mark.parametrize("size", [60_000, 70_000])
def test_a_head_of_64_kb_is_too_long(port: int, size: int) -> None:
    with line(port) as long:
        long.send(head("GET /healthz HTTP/1.1", *["X: " + "x" * 994] * (size // 1000)))
        assert long.answer().status == (200 if size < 65536 else 400)


def test_who_hangs_up_in_the_middle_leaves_nothing_and_no_error(
    service: Service,
    port: int,
    meeting: SimMeeting,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = registration(meeting, clock)
    whole = signed(body, clock) + body
    for cut in range(0, len(whole), 50):
        with line(port) as broken:
            broken.send(whole[:cut])
            broken.socket.shutdown(1)
            broken.rest()
    form = head(
        "POST /staff/act/pause/- HTTP/1.1",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: 9",
    )
    with line(port) as broken:
        broken.send(form + b"a=b")
        broken.socket.shutdown(1)
        broken.rest()
    with line(port) as broken:
        broken.send(form)
        broken.reset()
    with line(port) as next_one:
        next_one.send(GET)
        assert next_one.answer().status == 200
    assert known(service) == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_who_closes_their_half_after_a_whole_request_has_said_it(
    service: Service, port: int, meeting: SimMeeting, clock: Clock
) -> None:
    body = registration(meeting, clock)
    with line(port) as half:
        half.send(signed(body, clock) + body)
        half.socket.shutdown(1)
        half.rest()
    with line(port) as again:
        again.send(signed(body, clock) + body)
        assert again.answer().status == 200
    assert known(service) == ["alice@example.org"]


SECOND = b"POST /webhooks/zoom HTTP/1.1\r\nHost: localhost\r\n\r\n"
CROOKED = {
    "both lengths": ["Content-Length: 60", "Transfer-Encoding: chunked"],
    "the other way round": ["Transfer-Encoding: chunked", "Content-Length: 60"],
    "two lengths": ["Content-Length: 60", "Content-Length: 5"],
    "two equal lengths": ["Content-Length: 60", "Content-Length: 60"],
    "a list of lengths": ["Content-Length: 60, 60"],
    "a signed length": ["Content-Length: +60"],
    "a negative length": ["Content-Length: -60"],
    "a hexadecimal length": ["Content-Length: 0x3c"],
    "a length beyond numbers": ["Content-Length: " + "9" * 40],
    "a blank before the colon": ["Content-Length : 60"],
    "a folded line": ["X: a", " Content-Length: 60"],
    "an unknown coding": ["Transfer-Encoding: xchunked"],
    "a coding after chunked": ["Transfer-Encoding: chunked, identity"],
    "chunked behind a tab": ["Transfer-Encoding:\x0bchunked"],
    "NUL": ["X: a\0b"],
    "a lone CR": ["X: a\rContent-Length: 60"],
    "a lone LF": ["X: a\nContent-Length: 60"],
}


@pytest.mark.parametrize("lines", CROOKED.values(), ids=CROOKED)
def test_a_request_that_two_servers_would_read_differently_is_refused(
    port: int, lines: list[str]
) -> None:
    with line(port) as crooked:
        crooked.send(head("POST /webhooks/zoom HTTP/1.1", *lines) + b"0\r\n\r\n" + SECOND)
        said = crooked.rest()
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert said.count(b"HTTP/1.1 ") == 1  # the second request was not one
    assert b"X-Content-Type-Options: nosniff\r\n" in said
    assert b"Content-Security-Policy: default-src 'none';" in said


@pytest.mark.parametrize("size", ["-1", "+1", "0x1", "F" * 17, "1 \n", ""])
def test_a_chunk_of_a_crooked_size_is_refused(port: int, clock: Clock, size: str) -> None:
    with line(port) as crooked:
        crooked.send(signed(b"", clock, "Transfer-Encoding: chunked", length=False))
        crooked.send(f"{size}\r\nx\r\n0\r\n\r\n".encode())
        said = crooked.rest()
    assert not said.startswith(b"HTTP/1.1 2")
    assert said.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"], ["evil.example"]])
def test_a_page_is_asked_for_under_one_name(port: int, hosts: list[str]) -> None:
    with line(port) as crooked:
        names = "".join(f"Host: {host}\r\n" for host in hosts)
        crooked.send(f"GET / HTTP/1.1\r\n{names}\r\n".encode())
        assert crooked.answer().status == 421


@pytest.mark.parametrize("start", ["GET / HTTP/1.0", "GET http://evil.example/ HTTP/1.1"])
def test_an_old_or_a_whole_address_leads_to_our_page(port: int, start: str) -> None:
    with line(port) as old:
        old.send(head(start))
        answer = old.answer()
    assert answer.status == 200
    assert b"evil" not in answer.body


def test_http_1_0_needs_no_host_and_ends_with_its_answer(port: int) -> None:
    with line(port) as old:
        old.send(b"GET / HTTP/1.0\r\n\r\n")
        assert old.answer().status == 200
        assert old.rest() == b""


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        b"FLY / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_request_to_us_is_refused(port: int, said: bytes) -> None:
    with line(port) as stranger:
        stranger.send(said)
        assert stranger.rest().startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_nobody_is_upgraded(port: int) -> None:
    lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    with line(port) as upgrading:
        upgrading.send(head("GET / HTTP/1.1", *lines, "Sec-WebSocket-Key: " + "A" * 22 + "=="))
        assert upgrading.answer().status == 200
