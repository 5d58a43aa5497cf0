"""The client over real sockets: what a mock of requests cannot show."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from resonance_zoom.errors import ZoomError, ZoomUnreachable
from resonance_zoom.zoom.client import ZoomClient
from resonance_zoom.zoom.payloads import MeetingRequest, MeetingSettings
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from resonance_zoom.zoom.wire import Wire

from .simulated import HOST, MEETING_START, Clock, new_meeting

Script = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Peer:
    """A server on loopback that answers every GET by its script."""

    url: str
    connections: set[Any] = field(default_factory=set)


@contextmanager
def peer(script: Script) -> Iterator[Peer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            made.connections.add(self.client_address)
            script(self)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made = Peer(f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def answer(body: bytes, *, length: int | None = None, **headers: str) -> Script:
    def script(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)
        if length is not None:
            request.close_connection = True

    return script


@contextmanager
def wire(*, read: float = 5.0, **changes: Any) -> Iterator[Wire]:
    made = Wire(timeout=(5.0, read), **{"monotonic": lambda: 0.0} | changes)
    yield made
    made.close()


def test_connections_are_kept_from_one_call_to_the_next() -> None:
    with peer(answer(b'{"id": 1}')) as zoom, wire() as ours:
        bodies = [ours.send("GET", zoom.url, until=60).body for _ in range(3)]
    assert bodies == [b'{"id": 1}'] * 3
    assert len(zoom.connections) == 1


def test_a_compressed_answer_is_unpacked() -> None:
    packed = gzip.compress(b"{}" * 100_000)
    with peer(answer(packed, Content_Encoding="gzip")) as zoom, wire() as ours:
        assert ours.send("GET", zoom.url, until=60).body == b"{}" * 100_000


def test_an_answer_in_chunks_is_put_together() -> None:
    def chunks(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for chunk in (b'{"a":', b" 1}"):
            request.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")

    with peer(chunks) as zoom, wire() as ours:
        assert [ours.send("GET", zoom.url, until=60).body for _ in range(2)] == [b'{"a": 1}'] * 2
    assert len(zoom.connections) == 1


def test_headers_are_found_by_their_lower_case_names() -> None:
    with peer(answer(b"", RETRY_AFTER="7")) as zoom, wire() as ours:
        assert ours.send("GET", zoom.url, until=60).headers["retry-after"] == "7"


def test_an_answer_that_is_cut_off_is_none() -> None:
    with peer(answer(b'{"meetings": []}', length=100)) as zoom, wire() as ours:
        with pytest.raises(ZoomUnreachable) as caught:
            ours.send("GET", zoom.url, until=60)
        assert caught.value.maybe_done


def test_a_silent_zoom_is_not_waited_for() -> None:
    over = threading.Event()
    with peer(lambda _: over.wait(5) and None) as zoom, wire(read=0.05) as ours:
        with pytest.raises(ZoomUnreachable, match="ReadTimeout"):
            ours.send("GET", zoom.url, until=60)
        over.set()


def test_an_answer_that_trickles_in_is_given_up() -> None:
    """Each byte comes in time for the read time limit; all of them would take for ever."""
    sent = 0

    def trickle(request: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        while more.is_set():
            request.wfile.write(b" ")
            sent += 1

    more, seconds = threading.Event(), iter(range(1000))
    more.set()
    with peer(trickle) as zoom, wire(monotonic=lambda: float(next(seconds))) as ours:
        with pytest.raises(ZoomUnreachable, match="ReadTimeout") as caught:
            ours.send("GET", zoom.url, until=5)
        more.clear()
    assert caught.value.maybe_done
    assert sent < 1_000_000


def test_an_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resonance_zoom.zoom.wire.MAX_ANSWER", 100_000)
    bomb = answer(gzip.compress(b" " * 1_000_000), Content_Encoding="gzip")
    with peer(bomb) as zoom, wire() as ours, pytest.raises(ZoomUnreachable):
        ours.send("GET", zoom.url, until=60)


def test_what_is_not_compressed_as_it_says_is_no_answer() -> None:
    plain = answer(b"{}", Content_Encoding="gzip")
    with peer(plain) as zoom, wire() as ours, pytest.raises(ZoomUnreachable):
        ours.send("GET", zoom.url, until=60)


# ---- the client and the simulated Zoom ---------------------------------------------------------

REQUEST = MeetingRequest(
    topic="Télétravail",
    agenda="Réf. resonance-2021/teletravail",
    start_time=MEETING_START,
    duration=120,
    timezone="Europe/Paris",
    settings=MeetingSettings(
        approval_type=0,
        registrants_confirmation_email=False,
        registrants_email_notification=False,
        use_pmi=False,
    ),
)


@dataclass
class Both:
    """A simulated Zoom and a client of it; pauses turn the clock that they share."""

    world: SimulatedZoom
    client: ZoomClient
    clock: Clock


@pytest.fixture
def both() -> Iterator[Both]:
    world = SimulatedZoom(now=(clock := Clock()))
    with (
        SimulatorServer(world) as server,
        ZoomClient(
            api_url=server.api_url,
            oauth_url=server.oauth_url,
            account_id="acc",
            client_id="cid",
            client_secret="csecret",
            now=clock,
            sleep=lambda seconds: clock.turn(seconds=seconds),
        ) as client,
    ):
        yield Both(world, client, clock)


def test_a_meeting_from_its_creation_to_its_end(both: Both) -> None:
    zoom = both.client
    made = zoom.create_meeting(HOST, REQUEST)
    assert made.registration_url is not None
    assert (made.start_time, made.settings.approval_type) == (MEETING_START, 0)
    assert [summary.id for summary in zoom.list_meetings(HOST)] == [made.id]
    zoom.update_meeting(made.id, {"topic": "Autre", "settings.approval_type": 1})
    held = zoom.get_meeting(made.id)
    assert (held.topic, held.settings.approval_type) == ("Autre", 1)
    both.world.register(made.id, email="Alice@Example.org", first_name="Alice")
    [[alice]] = zoom.registrant_pages(made.id, "pending")
    assert (alice.email, alice.join_url) == ("Alice@Example.org", None)
    assert zoom.get_registrant(made.id, alice.id).email == "Alice@Example.org"
    zoom.delete_registrant(made.id, alice.id)
    assert list(zoom.registrant_pages(made.id, "pending")) == [[]]
    assert zoom.get_user(HOST).type == 2
    zoom.delete_meeting(made.id)
    assert zoom.list_meetings(HOST) == []
    assert zoom.clock_skew is not None


def test_six_hundred_and_fifty_registrants_come_on_three_pages(both: Both) -> None:
    meeting_id = new_meeting(both.world)
    for number in range(650):
        both.world.register(meeting_id, email=f"r{number}@example.org", first_name="R")
    pages = list(both.client.registrant_pages(meeting_id, "approved"))
    assert [len(page) for page in pages] == [300, 300, 50]
    assert len({person.email for page in pages for person in page}) == 650


@pytest.mark.parametrize(
    "kind",
    [
        "timeout-before",
        "timeout-after",
        "reset",
        "html",
        "truncated",
        "cut-off",
        "wrong-type",
        "401",
        "429",
        "500",
        "502",
        "503",
    ],
)
def test_a_passing_fault_is_not_felt_by_who_reads(both: Both, kind: str) -> None:
    meeting_id = new_meeting(both.world)
    both.world.faults.api("meeting", kind=kind)
    assert both.client.get_meeting(meeting_id).id == meeting_id


@pytest.mark.parametrize(
    "kind", ["timeout-after", "truncated", "cut-off", "wrong-type", "reset", "html", "500"]
)
def test_a_create_that_went_wrong_happened_at_most_once(both: Both, kind: str) -> None:
    both.world.faults.api("meetingCreate", kind=kind, after_effect=True)
    with pytest.raises(ZoomUnreachable) as caught:
        both.client.create_meeting(HOST, REQUEST)
    assert caught.value.maybe_done
    assert len(both.world.meetings) == 1


def test_a_token_that_another_process_has_ended_is_renewed(both: Both) -> None:
    meeting_id = new_meeting(both.world)
    both.client.get_meeting(meeting_id)
    both.world.faults.expire_tokens()
    assert both.client.get_meeting(meeting_id).id == meeting_id


def test_no_answer_to_a_list_is_never_an_empty_list(both: Both) -> None:
    meeting_id = new_meeting(both.world)
    both.world.register(meeting_id, email="alice@example.org", first_name="Alice")
    for kind in ("html", "truncated", "cut-off", "wrong-type", "503", "404", "429-daily"):
        both.world.faults.api("meetingRegistrants", kind=kind, times=4)
        with pytest.raises(ZoomError):
            list(both.client.registrant_pages(meeting_id, "approved"))
        both.world.faults.clear()
